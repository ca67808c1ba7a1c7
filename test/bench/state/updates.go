package main

import (
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/cpctl/cpctl/pkg/store"
	"github.com/cpctl/cpctl/test/bench/nodes"
)

const (
	updateCallers = 64
	looks         = 40               // at the memory, while the table is full
	longestKept   = 21 * time.Minute // a record of a request is forgotten after twenty
	flat          = 1.1
)

// updates changes clients for a long time. Once the table of requests is full,
// nothing more is kept, and the memory of a follower should stay as it is.
func (b *bench) updates() error {
	_, followers, err := b.leader()
	if err != nil {
		return err
	}
	of := followers[0]
	var number atomic.Int64
	var now, mapped []int64
	began := time.Now()
	l, err := b.while(updateCallers, &number, func() error {
		for number.Load() < store.MaxRequests && time.Since(began) < longestKept {
			time.Sleep(time.Second)
		}
		for range looks {
			time.Sleep(b.updating / looks)
			m, err := of.Memory()
			if err != nil {
				return err
			}
			now, mapped = append(now, m.Now-m.Mapped), append(mapped, m.Mapped)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if leader, _, err := b.leader(); err != nil || leader == of {
		return errors.Join(err, errors.New("another node leads now"))
	}
	first, last := nodes.Median(now[:looks/4]), nodes.Median(now[looks-looks/4:])
	b.results.compared("updates", fmt.Sprintf("a follower, at the end of %s with all requests that it may remember", b.updating), mib(last), "at its beginning: "+mib(first), float64(last)/float64(first), atMost(flat))
	b.results.noted("updates", "pages of its files, not included", mib(nodes.Median(mapped[looks-looks/4:])), "at its beginning: "+mib(nodes.Median(mapped[:looks/4])))
	b.results.noted("updates", "changes, with those that filled the table", fmt.Sprint(len(l.Calls)), perSecond(l.Rate())+" of 64 callers")
	return nil
}
