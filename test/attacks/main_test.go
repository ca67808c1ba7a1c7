package attacks

import (
	"testing"

	"github.com/cpctl/cpctl/test/live"
)

func TestMain(m *testing.M) { live.Main(m) }
