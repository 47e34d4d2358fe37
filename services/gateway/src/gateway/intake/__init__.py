"""What other systems send in shapes of their own, made into tracking events: CloudEvents, HubSpot, tables."""
