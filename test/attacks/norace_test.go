//go:build !race

package attacks

const slack = 1
