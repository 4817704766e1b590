"""Rules: functions of decoded images that say what is wanted, in NumPy only."""
