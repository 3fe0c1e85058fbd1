"""What looks wrong with the actions of a run: `action_watch`, with units by `action_units`."""
