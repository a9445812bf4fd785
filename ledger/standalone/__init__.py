"""What goes into an evidence pack as it is: the stand-alone verifier and the page that says how to use it."""
