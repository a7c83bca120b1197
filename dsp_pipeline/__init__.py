"""From raw ad logs to a model a bidder can load."""
