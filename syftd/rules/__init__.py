"""Who may read and write what: the permission files `syft.pub.yaml`, parsed, evaluated, explained and edited."""
