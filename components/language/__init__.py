"""Joint intent and slot models behind one interface: token ids and a mask in, intent and slot logits out."""
