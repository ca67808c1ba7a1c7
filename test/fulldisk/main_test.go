package fulldisk

import (
	"testing"

	"github.com/cpctl/cpctl/test/live"
)

func TestMain(m *testing.M) {
	live.Privately()
	live.Main(m)
}
