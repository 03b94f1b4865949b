"""What `benchmarks.quality` measures: sets of rows, who learns from them, and the table that compares them."""
