"""What every engine in this process has to do, whatever computes its tokens."""
