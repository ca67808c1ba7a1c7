//go:build race

package attacks

// slack is how many times the memory a node takes under the race detector.
const slack = 6
