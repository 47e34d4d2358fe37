"""`make chaos`: kills, full disks, wrong clocks and cut lines under load, and a checker of what is left."""
