"""What a run tells of itself to those who watch: numbers for Datadog and Prometheus, and notices of failures."""
