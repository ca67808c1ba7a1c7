package node

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
)

// pageFile reads raft.db as bbolt lays it out (its format 2), with nothing taken
// on trust. bbolt itself believes every page but the two meta pages, follows
// what is in them through mapped memory, and takes the older meta page when the
// newer one is damaged, which is the log of a moment before. So the file is read
// once, whole, before bbolt sees it.
//
// A page has no checksum, but bbolt packs it: the elements stand one after the
// other, and their bytes behind them without a gap, over as many pages as that
// takes. A bit that changes a number, an offset or a length leaves a gap, an
// overlap or a remainder, and one in a key or in a pointer an order that is
// wrong or a page that is another. What is left is a pointer to an older copy of
// the same page: the sums in the entries (logsum.go) and the file beside the log
// (logend.go) tell.
type pageFile struct {
	file io.ReaderAt
	size int64  // bytes
	page int64  // bytes of a page
	high uint64 // pages in use are below it
	seen map[uint64]bool

	conf        map[string][]byte // raft's own values
	first, last uint64            // entry of the log, 0 if it is empty
	sizes       []int             // of the entries as they are stored, bytes
}

const (
	boltMagic   = 0xED0CDAED
	boltVersion = 2
	boltHead    = 16 // bytes before the elements of a page
	boltElement = 16 // bytes of an element, of a leaf or a branch
	boltBucket  = 16 // bytes before an inline page
	boltNoList  = ^uint64(0)
	maxPage     = 64 << 10
	maxDepth    = 20 // a page has at least two children

	pageBranch = 1
	pageLeaf   = 2
	pageMeta   = 4

	leafBucket = 1 // flag of an element that is a bucket
)

var order = binary.NativeEndian

// readPages checks the structure of a log file from its meta pages to its last
// leaf, and finds what raft keeps beside the log and which entries there are.
func readPages(f *os.File) (*pageFile, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	p := &pageFile{file: f, size: info.Size(), seen: map[uint64]bool{}, conf: map[string][]byte{}}
	root, err := p.meta()
	if err != nil {
		return nil, err
	}
	return p, p.buckets(root)
}

// meta reads both meta pages and returns the root page that the newer one names.
// Each is within one sector, which a disk writes whole or not at all: a power
// cut leaves none damaged.
func (p *pageFile) meta() (root uint64, err error) {
	var newest uint64
	for i := range uint64(2) {
		if i == 0 {
			p.page = 1 << 12 // enough to read what the size is
		}
		b := make([]byte, 512)
		if _, err := p.file.ReadAt(b, int64(i)*p.page); err != nil {
			return 0, fmt.Errorf("its meta page %d cannot be read: %w", i, unexpectedEnd(err))
		}
		m := b[boltHead:]
		sum := fnv.New64a()
		sum.Write(m[:56])
		size := int64(order.Uint32(m[8:]))
		txid := order.Uint64(m[48:])
		if order.Uint64(b) != i || order.Uint16(b[8:]) != pageMeta || order.Uint32(m) != boltMagic || order.Uint32(m[4:]) != boltVersion ||
			order.Uint64(m[56:]) != sum.Sum64() || size < 1<<10 || size > maxPage || size&(size-1) != 0 || i == 1 && size != p.page {
			return 0, fmt.Errorf("its meta page %d is damaged", i)
		}
		p.page = size
		if i == 0 || txid > newest {
			newest, root, p.high = txid, order.Uint64(m[16:]), order.Uint64(m[40:])
			if order.Uint64(m[32:]) != boltNoList {
				return 0, errors.New("it was not written by this program: it has a list of free pages")
			}
		}
	}
	if p.high > uint64(p.size/p.page) {
		return 0, fmt.Errorf("its end is missing: it has %d bytes, and %d pages of %d bytes in use", p.size, p.high, p.page)
	}
	return root, nil
}

// buckets reads the root page: the buckets of the log and of raft's own values.
func (p *pageFile) buckets(root uint64) error {
	b, err := p.read(root)
	if err != nil {
		return err
	}
	var names []string
	err = leaf(b, func(flags uint32, key, value []byte) error {
		names = append(names, string(key))
		if flags != leafBucket || len(value) < boltBucket || order.Uint64(value[8:]) != 0 {
			return fmt.Errorf("page %d: %q is no bucket", root, key)
		}
		each := p.value
		if string(key) == "logs" {
			each = p.entry
		}
		if top := order.Uint64(value); top != 0 {
			if len(value) != boltBucket {
				return fmt.Errorf("page %d: bucket %q is too long", root, key)
			}
			return p.walk(top, nil, nil, maxDepth, each)
		}
		inline := value[boltBucket:]
		if len(inline) < boltHead || order.Uint64(inline) != 0 || order.Uint16(inline[8:]) != pageLeaf || order.Uint32(inline[12:]) != 0 {
			return fmt.Errorf("page %d: bucket %q is damaged", root, key)
		}
		if used, err := packed(inline); err != nil || used != int64(len(inline)) {
			return fmt.Errorf("page %d: bucket %q is damaged", root, key)
		}
		return leaf(inline, plain(each))
	})
	if err == nil && (len(names) != 2 || names[0] != "conf" || names[1] != "logs") {
		err = fmt.Errorf("page %d: it holds the buckets %q, not conf and logs", root, names)
	}
	return err
}

// walk reads the pages at and below id, whose keys are from low on and below high.
func (p *pageFile) walk(id uint64, low, high []byte, depth int, each func(key, value []byte) error) error {
	b, err := p.read(id)
	if err != nil {
		return err
	}
	within := func(key []byte) error {
		if low != nil && bytes.Compare(key, low) < 0 || high != nil && bytes.Compare(key, high) >= 0 {
			return fmt.Errorf("page %d: key %x does not belong there", id, key)
		}
		return nil
	}
	if order.Uint16(b[8:]) == pageLeaf {
		return leaf(b, plain(func(key, value []byte) error {
			return errors.Join(within(key), each(key, value))
		}))
	}
	if depth == 0 {
		return fmt.Errorf("page %d: its pages are a loop", id)
	}
	type child struct {
		key []byte
		id  uint64
	}
	var children []child
	err = elements(b, func(e, data []byte) error {
		key := data
		children = append(children, child{key, order.Uint64(e[8:])})
		return within(key)
	})
	if err != nil {
		return err
	}
	for i, c := range children {
		end := high
		if i+1 < len(children) {
			end = children[i+1].key
		}
		if err := p.walk(c.id, c.key, end, depth-1, each); err != nil {
			return err
		}
	}
	return nil
}

// read returns the bytes of a branch or leaf page with what overflows from it.
func (p *pageFile) read(id uint64) ([]byte, error) {
	head := make([]byte, boltHead)
	if id < 2 || id >= p.high {
		return nil, fmt.Errorf("a page %d is not in use", id)
	}
	if _, err := p.file.ReadAt(head, int64(id)*p.page); err != nil {
		return nil, fmt.Errorf("page %d cannot be read: %w", id, unexpectedEnd(err))
	}
	flags, more := order.Uint16(head[8:]), uint64(order.Uint32(head[12:]))
	if order.Uint64(head) != id || flags != pageBranch && flags != pageLeaf || id+more >= p.high {
		return nil, fmt.Errorf("page %d is damaged: its head is not that of a page of the log", id)
	}
	for i := id; i <= id+more; i++ {
		if p.seen[i] {
			return nil, fmt.Errorf("page %d is used twice", i)
		}
		p.seen[i] = true
	}
	b := make([]byte, int64(more+1)*p.page)
	if _, err := p.file.ReadAt(b, int64(id)*p.page); err != nil {
		return nil, fmt.Errorf("page %d cannot be read: %w", id, unexpectedEnd(err))
	}
	used, err := packed(b)
	if err == nil && (used+p.page-1)/p.page != int64(more+1) {
		err = fmt.Errorf("its %d bytes are on %d pages", used, more+1)
	}
	if err != nil {
		return nil, fmt.Errorf("page %d is damaged: %w", id, err)
	}
	return b, nil
}

// packed checks that the elements of a page and their bytes stand one after the
// other, and returns how many bytes that is.
func packed(b []byte) (used int64, err error) {
	err = elements(b, func(_, data []byte) error { used += boltElement + int64(len(data)); return nil })
	return used + boltHead, err
}

// elements calls each for every element of a page with its bytes: those of the
// key in a branch, of key and value in a leaf.
func elements(b []byte, each func(element, data []byte) error) error {
	if len(b) < boltHead {
		return errors.New("it is too short")
	}
	isLeaf, count := order.Uint16(b[8:]) == pageLeaf, int64(order.Uint16(b[10:]))
	next, size := int64(boltHead+count*boltElement), int64(len(b))
	if next > size {
		return fmt.Errorf("it has no room for %d elements", count)
	}
	var before []byte
	for i := range count {
		at := boltHead + i*boltElement
		e := b[at : at+boltElement]
		pos, ksize, vsize := int64(order.Uint32(e)), int64(order.Uint32(e[4:])), int64(0)
		if isLeaf {
			pos, ksize, vsize = int64(order.Uint32(e[4:])), int64(order.Uint32(e[8:])), int64(order.Uint32(e[12:]))
		}
		end := next + ksize + vsize
		if at+pos != next || ksize == 0 || end > size {
			return fmt.Errorf("its element %d is not where it should be", i)
		}
		key := b[next : next+ksize]
		if i > 0 && bytes.Compare(before, key) >= 0 {
			return fmt.Errorf("its element %d is out of order", i)
		}
		before = key
		if err := each(e, b[next:end]); err != nil {
			return err
		}
		next = end
	}
	return nil
}

// leaf calls each for every key of a leaf page.
func leaf(b []byte, each func(flags uint32, key, value []byte) error) error {
	return elements(b, func(e, data []byte) error {
		ksize := order.Uint32(e[8:])
		return each(order.Uint32(e), data[:ksize], data[ksize:])
	})
}

// plain is for leaves that hold no bucket.
func plain(each func(key, value []byte) error) func(uint32, []byte, []byte) error {
	return func(flags uint32, key, value []byte) error {
		if flags != 0 {
			return fmt.Errorf("key %x has flags", key)
		}
		return each(key, value)
	}
}

// entry takes note of an entry of the log. What is in it is read through bbolt,
// with its checksum.
func (p *pageFile) entry(key, value []byte) error {
	if len(key) != 8 {
		return fmt.Errorf("key %x is no index", key)
	}
	index := binary.BigEndian.Uint64(key)
	switch {
	case p.last == 0:
		p.first = index
	case index != p.last+1:
		return fmt.Errorf("entry %d follows entry %d", index, p.last)
	}
	if p.last = index; index == 0 {
		return errors.New("it has an entry 0")
	}
	p.sizes = append(p.sizes, len(value))
	return nil
}

func (p *pageFile) value(key, value []byte) error {
	p.conf[string(key)] = bytes.Clone(value)
	return nil
}

// unexpectedEnd says what an early end of the file means.
func unexpectedEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return errors.New("the file is cut short")
	}
	return err
}
