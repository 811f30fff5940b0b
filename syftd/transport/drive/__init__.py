"""Google Drive as a transport. Nothing here imports Google's libraries until Drive is first used."""
