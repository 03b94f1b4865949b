"""Hides pandas from the process that imports this module, and from all that are forked from it.

Keras and PyArrow look for it, and import it where it is. kerasd gives them arrays alone; in the zygote pandas would
bring PyArrow, which starts a thread.
"""

from service.hidden import hide

hide("pandas")
