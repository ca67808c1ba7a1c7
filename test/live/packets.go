package live

import (
	"sync/atomic"
	"time"
)

// packets are those on their way from one node to another where the switch has
// to hold them. What finds no room is lost, as with every switch.
type packets struct {
	link    *link
	deliver func([]byte)
	queue   chan packet
	waiting atomic.Int64 // bytes
	left    chan struct{}
}

type packet struct {
	sent time.Time
	b    []byte
}

const (
	mostPackets = 8192        // that wait on one link
	lineBuffer  = time.Second // of a link with a limit, beyond its delay
)

func newPackets(l *link, deliver func([]byte)) *packets {
	p := &packets{link: l, deliver: deliver, queue: make(chan packet, mostPackets), left: make(chan struct{})}
	go func() {
		defer close(p.left)
		for it := range p.queue {
			if p.link.pass(it.sent, len(it.b), false) {
				p.deliver(it.b)
			}
			p.waiting.Add(-int64(len(it.b)))
		}
	}()
	return p
}

// send takes a packet, which is the caller's again when it returns. One caller
// at a time.
func (p *packets) send(b []byte) {
	waiting := p.waiting.Load()
	if waiting == 0 && p.link.clear() {
		p.deliver(b)
		return
	}
	p.link.mu.Lock()
	lost := p.link.cut || p.link.over
	if rate := p.link.rate; rate > 0 && waiting > 0 {
		room := int64((lineBuffer + p.link.delay).Seconds() * float64(rate))
		lost = lost || waiting+int64(len(b)) > room
	}
	p.link.mu.Unlock()
	if lost {
		return
	}
	p.waiting.Add(int64(len(b)))
	select {
	case p.queue <- packet{time.Now(), append([]byte(nil), b...)}:
	default:
		p.waiting.Add(-int64(len(b)))
	}
}

// close waits for the packets under way. The link has ended.
func (p *packets) close() {
	close(p.queue)
	<-p.left
}
