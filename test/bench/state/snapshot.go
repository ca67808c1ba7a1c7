package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/cpctl/cpctl/pkg/mutation"
	"github.com/cpctl/cpctl/test/bench/nodes"
)

const (
	savesBeside = 5
	alone       = 5 * time.Second // before the first of them
	between     = 2 * time.Second
	raftsOwn    = 4 * time.Minute // nodes look after 30 to 60 s whether a snapshot is due; with groups of writes it takes two looks
)

// snapshots measures writes while somebody saves the state, and while nodes take
// the snapshots that raft wants.
func (b *bench) snapshots() error {
	for _, callers := range []int{1, 64} {
		if err := b.beside(callers); err != nil {
			return fmt.Errorf("%d callers: %w", callers, err)
		}
	}
	return nil
}

// beside lets callers write all the time, and looks afterwards at what went on
// meanwhile. It goes on until every node has taken a snapshot of its own.
func (b *bench) beside(callers int) error {
	leader, _, err := b.leader()
	if err != nil {
		return err
	}
	began := time.Now()
	var saved []span
	var own map[string][]span
	l, err := b.while(callers, new(atomic.Int64), func() (err error) {
		saved, err = b.saves(leader, alone, between)
		for late := time.After(raftsOwn); err == nil && len(own) < len(b.Nodes); {
			if own, err = b.raftSnapshots(began); err != nil {
				break
			}
			select {
			case <-late: // who is late is left out of the table below, by name
				return nil
			case <-time.After(200 * time.Millisecond):
			}
		}
		return err
	})
	if err != nil {
		return err
	}
	b.results.beside(callers, l, saved, own, b.Nodes)
	return nil
}

// while lets callers change clients until do has returned. number counts the changes.
func (b *bench) while(callers int, number *atomic.Int64, do func() error) (nodes.Load, error) {
	var over atomic.Bool
	next := func() (int, bool) { return int(number.Add(1)), !over.Load() }
	type written struct {
		nodes.Load
		err error
	}
	wrote := make(chan written, 1)
	go func() {
		l, err := b.write(callers, callers, next, b.update)
		wrote <- written{l, err}
	}()
	err := do()
	over.Store(true)
	w := <-wrote
	return w.Load, errors.Join(w.err, err)
}

// saves saves the state some times, at the node.
func (b *bench) saves(at *nodes.Node, before, between time.Duration) (all []span, err error) {
	pause := before
	for range savesBeside {
		time.Sleep(pause)
		from := time.Now()
		if _, err := nodes.Save(b.Binary, at.Server(), filepath.Join(b.Base, "beside.tgz")); err != nil {
			return nil, err
		}
		all, pause = append(all, span{from, time.Now()}), between
	}
	return all, nil
}

// update changes one of the clients, another one each time.
func (b *bench) update(i int) *mutation.Request {
	k := i * 7919 % b.made // 7919: not in the order in which they were made
	return &mutation.Request{Op: mutation.OpClientUpdate, Tenant: nodes.Tenant(k), Name: nodes.ClientID(k), Patch: json.RawMessage(fmt.Sprintf(`{"description":"change %d"}`, i))}
}
