"""What `calvinbench` can be told to do: one file a verb, its flags as fields; `console` is how they speak."""
