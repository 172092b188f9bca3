"""Flink: jobs submitted to a cluster, the ticks that drive their readers, and the workers that do the work."""
