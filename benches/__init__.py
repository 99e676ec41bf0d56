"""How fast riata is beside other loops: `python -m benches`."""
