"""What Karn costs, beside what the same work costs without it. ``make bench`` runs all of it."""
