"""Journeys: what people do with syftd, played with real daemons."""
