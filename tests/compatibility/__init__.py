"""Files of earlier releases load and give the same numbers."""
