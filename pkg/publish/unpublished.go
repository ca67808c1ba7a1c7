//go:build unpublished

package publish

import "github.com/cpctl/cpctl/pkg/store"

// write, in a build with the tag "unpublished", writes no file and has the index
// counted as published all the same, so that what publishing costs can be
// measured. test/bench/compare makes such builds; releases are none. Readers are
// told, once, not to use what is in data/.
func (p *Publisher) write(*store.Image, *batch) error {
	if !p.renounced {
		p.log.Error("THIS BUILD PUBLISHES NO FILES: it is for measurements, and nothing else", "tag", "unpublished")
		p.renounce()
	}
	return nil
}
