package node

import (
	"context"
	"errors"
	"path/filepath"
	"testing"

	"github.com/cpctl/cpctl/pkg/store"
)

func TestAnAddressThatNobodyCanDialIsRefused(t *testing.T) {
	for _, c := range []struct{ fact, listen, advertise string }{
		{"every address of the machine, and nothing else said", "0.0.0.0:0", ""},
		{"no host", "127.0.0.1:0", ":7700"},
		{"the unspecified address", "127.0.0.1:0", "[::]:7700"},
		{"port 0", "127.0.0.1:0", "n1.example:0"},
		{"no port", "127.0.0.1:0", "n1.example"},
		{"an empty port", "127.0.0.1:0", "n1.example:"},
	} {
		t.Run(c.fact, func(t *testing.T) {
			n, err := Open(context.Background(), Config{Dir: filepath.Join(t.TempDir(), "n"), Name: "n1", Listen: c.listen, Advertise: c.advertise, Stop: func(error) {}})
			if err == nil {
				n.Close() // it should not be there
			}
			if !errors.Is(err, store.ErrInvalid) {
				t.Errorf("err = %v, want %v", err, store.CodeInvalid)
			}
		})
	}
}
