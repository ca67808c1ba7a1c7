package reader

import (
	"encoding/json"
	"time"
)

// Duration is a span of time as documents have it: "15m", and "" for zero.
type Duration time.Duration

// UnmarshalJSON reads what the node writes, which is Go's syntax.
func (d *Duration) UnmarshalJSON(b []byte) error {
	var s string
	if err := json.Unmarshal(b, &s); err != nil || s == "" {
		*d = 0
		return err
	}
	v, err := time.ParseDuration(s)
	*d = Duration(v)
	return err
}

// Std is the duration as the standard library has it.
func (d Duration) Std() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return time.Duration(d).String() }
