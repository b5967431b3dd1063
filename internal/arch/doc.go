// Package arch holds no code, but the test of the rules that the packages of this
// module keep towards each other: imports go downward only, and each package says
// what it is for.
package arch
