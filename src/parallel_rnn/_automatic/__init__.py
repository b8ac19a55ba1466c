"""What is chosen where a user leaves the choice to the package."""
