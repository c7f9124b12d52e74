"""What is tried where no setting of a cell gives EXPECTED."""
