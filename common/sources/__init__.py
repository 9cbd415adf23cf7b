"""Where the arrays come from: official files, a package, or random numbers."""
