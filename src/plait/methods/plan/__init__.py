"""Plan, run side by side, verify, merge: the method for models that were never trained to fork."""
