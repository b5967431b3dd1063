// Package signature finds in the last words of a program why it ended: the class of
// the failure, the line that says so, and the stack frames.
package signature

// Signature is what the last words of a program say.
type Signature struct {
	// Class is a stable code, such as "panic", "port_in_use" or "connection_refused".
	Class string
	// Line is the line that matters, Index its place in the log.
	Line  string
	Index int
	// Language is that of a trace: go, java, python, node, dotnet, ruby, rust, php, c; empty where unknown.
	Language string
	// Type is the exception's or error's own name, such as "java.lang.NullPointerException".
	Type string
	// Frames are the stack frames, the innermost first, at most 32.
	Frames []Frame
	// Key is what tells this failure from others of its class, for grouping: stable under
	// changing addresses, numbers, times, ids and line numbers.
	Key string
}

// Frame is one stack frame.
type Frame struct {
	Func string
	File string
	Line int
	// App tells that the frame is of the program itself, not of a runtime or library.
	App bool
}

// Find returns what the lines of a log's tail say, the oldest line first; nil where they say nothing.
func Find(lines []string) *Signature { return nil }
