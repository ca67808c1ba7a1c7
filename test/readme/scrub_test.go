package readme_test

import (
	"regexp"
	"strings"
	"testing"
)

// scrubs take out of a line what differs from one run to the next.
var scrubs = []struct {
	what *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), "UUID"},
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT[0-9:.]+Z`), "TIME"},
	{regexp.MustCompile(`\b127\.0\.0\.1:\d+`), "ADDRESS"},
	{regexp.MustCompile(`(^|\s)[A-Za-z0-9_-]{43}(\s|$)`), "${1}KID${2}"},
	{regexp.MustCompile(`\b\d+(\.\d+)? ([kM]?B)\b`), "SIZE"},
	{regexp.MustCompile(`\bindex(\s+)\d+`), "index N"},
	{regexp.MustCompile(`\bterm(\s+)\d+`), "term N"},
	{regexp.MustCompile(`\bapplied\s+(\d+) of (\d+)`), "applied N of N"},
	{regexp.MustCompile(`\s+`), " "},
	{regexp.MustCompile(`\b\d+(ms|s|m|d|y)\b`), "AGE"},
	{regexp.MustCompile(`\btoken/[0-9a-f]{16}\b`), "token/ID"},
	{regexp.MustCompile(`\brevoke [0-9a-f]{32}$`), "revoke SERIAL"},
	{regexp.MustCompile(` in /\S+/config\.yaml$`), " in FILE"},
	// Any of the three may lead, and be heard of at another time.
	{regexp.MustCompile(`\bleader n\d\b`), "leader NAME"},
	{regexp.MustCompile(`^node n\d is ready`), "node NAME is ready"},
	{regexp.MustCompile(`^(n\d) (leader|follower) (● alive) \d+ AGE$`), "$1 MEMBER $3"},
}

// scrub makes the outputs of two runs comparable. Lines in which a shell tells
// of a process that was killed are its own.
func scrub(lines []string) string {
	var out []string
	for _, line := range lines {
		if strings.Contains(line, "Killed") || strings.Contains(line, "Terminated") {
			continue
		}
		for _, s := range scrubs {
			line = s.what.ReplaceAllString(line, s.with)
		}
		if line = strings.TrimSpace(line); line != "" {
			out = append(out, line)
		}
	}
	return strings.Join(out, "\n")
}

func TestScrubKeepsWhatMatters(t *testing.T) {
	for _, c := range []struct{ fact, a, b string }{
		{"a name", "tenant/acme created", "tenant/acm created"},
		{"an outcome", "tenant/acme created", "tenant/acme unchanged"},
		{"a count", "tenants        0       1", "tenants        0       2"},
		{"how many may fail", "can lose   1 voter", "can lose   0 voters"},
		{"a member that is lost", "n1     follower   ✗ lost      0         -", "n1     follower   ● alive     0       1ms"},
		{"a member without a vote", "n3     non-voter   ● alive     0       3ms", "n3     follower    ● alive     0       3ms"},
		{"the state of a key", "vTVHsrTwG682QYV9a6YM7x-_-FmmTzjCSdlUw4AAlzk   RS256   active    0s   -", "vTVHsrTwG682QYV9a6YM7x-_-FmmTzjCSdlUw4AAlzk   RS256   next    0s   -"},
		{"an exit code", "2", "3"},
	} {
		if scrub([]string{c.a}) == scrub([]string{c.b}) {
			t.Errorf("%s: %q and %q are both %q", c.fact, c.a, c.b, scrub([]string{c.a}))
		}
	}
}

func TestScrubTakesOutWhatDiffers(t *testing.T) {
	for _, c := range []struct{ fact, a, b string }{
		{"a key", "WcmgJ4dr0Qr4BW5tHVTzrqsP0ALFMUZNJga6JzWmLiU   RS256   next      0s   -", "vTVHsrTwG682QYV9a6YM7x-_-FmmTzjCSdlUw4AAlzk   RS256   next     12s   -"},
		{"a time", "created    2026-11-22T22:31:54.788194Z", "created    2027-01-01T00:00:00Z"},
		{"a size", "backup.tgz saved: index 9, 9.4 kB", "backup.tgz saved: index 11, 912 B"},
		{"who leads", "n1     leader     ● alive     0       0ms", "n1     follower   ● alive     2      14ms"},
	} {
		if a, b := scrub([]string{c.a}), scrub([]string{c.b}); a != b {
			t.Errorf("%s: %q and %q", c.fact, a, b)
		}
	}
}
