package node

import (
	"sync"

	"github.com/hashicorp/raft"
)

const (
	cachedEntries = 1024    // at most; a follower that is further behind reads from the disk
	cachedBytes   = 8 << 20 // of their contents; the newest entry is kept whatever it has
	entryOverhead = 128     // bytes of a raft.Log and its place, about
)

// logCache keeps the newest entries of a log in memory for followers: reading each of
// them back and decoding it takes a quarter of a leader's time. It is raft.LogCache
// bounded in bytes: entries of many commands are a hundred times those of one.
type logCache struct {
	raft.LogStore
	mu     sync.RWMutex
	newest [cachedEntries]*raft.Log // entry i is at i modulo its length
	oldest uint64                   // no entry before it is here
	bytes  int
}

func newLogCache(store raft.LogStore) *logCache { return &logCache{LogStore: store} }

// IsMonotonic is raft.MonotonicLogStore's, which raft asks the outermost store.
func (c *logCache) IsMonotonic() bool {
	store, ok := c.LogStore.(raft.MonotonicLogStore)
	return ok && store.IsMonotonic()
}

func (c *logCache) GetLog(index uint64, log *raft.Log) error {
	c.mu.RLock()
	cached := c.newest[index%cachedEntries]
	c.mu.RUnlock()
	if cached != nil && cached.Index == index {
		*log = *cached
		return nil
	}
	return c.LogStore.GetLog(index, log)
}

func (c *logCache) StoreLog(log *raft.Log) error { return c.StoreLogs([]*raft.Log{log}) }

// StoreLogs remembers what was stored, and nothing of what was not.
func (c *logCache) StoreLogs(logs []*raft.Log) error {
	if err := c.LogStore.StoreLogs(logs); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, l := range logs {
		c.drop(l.Index)
		c.newest[l.Index%cachedEntries] = l
		c.bytes += cachedSize(l)
		c.oldest = min(c.oldest, l.Index)      // the log may have been cut there
		if l.Index >= c.oldest+cachedEntries { // after a gap there is nothing to look for
			c.oldest = l.Index - cachedEntries + 1
		}
		for ; c.bytes > cachedBytes && c.oldest < l.Index; c.oldest++ {
			if old := c.newest[c.oldest%cachedEntries]; old != nil && old.Index == c.oldest {
				c.drop(c.oldest)
			}
		}
	}
	return nil
}

// drop empties the place of an entry.
func (c *logCache) drop(index uint64) {
	place := &c.newest[index%cachedEntries]
	if *place != nil {
		c.bytes -= cachedSize(*place)
		*place = nil
	}
}

// DeleteRange forgets the entries, in whose places others may come.
func (c *logCache) DeleteRange(first, last uint64) error {
	c.mu.Lock()
	for _, l := range c.newest {
		if l != nil && first <= l.Index && l.Index <= last {
			c.drop(l.Index)
		}
	}
	c.mu.Unlock()
	return c.LogStore.DeleteRange(first, last)
}

func cachedSize(l *raft.Log) int { return sizeOf(l) + entryOverhead }
