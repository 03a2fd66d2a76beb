"""What the network computes, bit-exact. Knows no hardware."""
