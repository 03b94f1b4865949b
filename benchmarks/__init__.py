"""Measurements of kerasd beside its peers; nothing of the service imports them."""
