package store

// LoadDoc is Load of a published document that NewDoc has read already, which
// may have been done elsewhere, several at a time.
func (t *Tx) LoadDoc(d *Doc) { t.put(d) }
