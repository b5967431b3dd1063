package signature

import "strings"

// This file finds what a program could not reach: the host and port that its last words
// name. Clients write that in many ways, but each of them leads up to it with words of its
// own: "dial tcp ", "connect ECONNREFUSED ", "Connection to ". What stands after such
// words is read as an address, and anything that is none says nothing.

// remote tells classes in which something outside of the program did not answer, or not as
// it should.
func remote(class string) bool {
	switch class {
	case "connection_refused", "connection_lost", "connection_failed", "too_many_connections", "network_unreachable", "timeout", "dns_failure", "tls_error", "auth_failed", "rate_limited":
		return true
	}
	return false
}

const (
	// maxAround bounds the lines of a trace that are searched for an address.
	maxAround = 60
	// maxTries bounds how often the same words are looked at in one line.
	maxTries = 8
	// maxTarget bounds a target; the longest name of DNS has 253 characters.
	maxTarget = 253 + len(":65535")
)

// target returns what could not be reached, as the line of the failure names it, or else the
// lines that belong to it; empty where none does.
func target(class, line string, around []string, raw string) string {
	if !remote(class) {
		return ""
	}
	found := func(e endpoint) string {
		if class == "dns_failure" && !e.ip {
			e.port = "" // a name that does not resolve has no ports
		}
		if s := e.String(); len(s) <= maxTarget {
			return s
		}
		return ""
	}
	next := ""
	if len(around) > 0 {
		next = around[0]
	}
	if e, ok := led(line, next); ok {
		return found(e)
	}
	looked := 0
	for i, text := range around {
		if strings.HasPrefix(strings.TrimLeft(text, " \t"), "at ") {
			continue // a frame
		}
		if looked++; looked > maxAround {
			break
		}
		next = ""
		if i+1 < len(around) {
			next = around[i+1]
		}
		if e, ok := led(text, next); ok {
			return found(e)
		}
	}
	if e, ok := plain(line); ok {
		return found(e)
	}
	if e, ok := field(raw); ok {
		return found(e)
	}
	return ""
}

// lead is what stands before an address.
type lead struct {
	text string // in lower case
	// sure tells that what follows is a host even if it is a single word.
	sure bool
	// port tells that without a port it is none: it may be anything.
	port bool
	// to is what is skipped up to, where something stands between.
	to string
	// splits tells that the last colon of a bare IPv6 address divides off the port, as Node writes it.
	splits bool
}

// leads returns the ways of leading up to an address, those that tell most first. The comment
// names who writes so.
func leads() []lead {
	return []lead{
		{text: "proxyconnect tcp: dial tcp "},                                                // Go: the proxy, not what is behind it
		{text: "translate host name ", sure: true},                                           // libpq
		{text: "connection to server at ", sure: true},                                       // libpq 14
		{text: "is the server running on host ", sure: true},                                 // libpq 13
		{text: "is the server running on that host", to: "\x00"},                             // no address
		{text: "dial tcp "}, {text: "dial tcp4 "}, {text: "dial tcp6 "}, {text: "dial udp "}, // Go
		{text: "econnrefused ", splits: true}, {text: "etimedout ", splits: true}, // Node
		{text: "ehostunreach ", splits: true}, {text: "enetunreach ", splits: true}, //
		{text: "econnreset ", splits: true},                                                        //
		{text: "getaddrinfo enotfound ", sure: true}, {text: "getaddrinfo eai_again ", sure: true}, // Node
		{text: "enotfound ", sure: true}, {text: "eai_again ", sure: true}, //
		{text: "getaddrinfo for ", sure: true},       // PHP
		{text: "unknownhostexception: ", sure: true}, // Java
		{text: "[thrd:"},                                                               // librdkafka
		{text: "failed to resolve ", sure: true}, {text: "resolve host: ", sure: true}, // librdkafka, Netty; curl
		{text: "resolve host ", sure: true}, {text: "resolve hostname ", sure: true}, // curl, ssh
		{text: "resolve host address ", sure: true}, {text: "unknown host: ", sure: true}, // wget; busybox
		{text: "resolve server "}, {text: "resolve address ", sure: true}, // Kafka; HAProxy
		{text: "resolution failed for ", sure: true},                                              // gRPC
		{text: "host not found in upstream ", sure: true},                                         // nginx
		{text: "unable to resolve host address ", sure: true}, {text: "bad address ", sure: true}, // wget, busybox
		{text: "unknown mysql server host ", sure: true}, {text: "mysql server on ", sure: true}, // MySQL
		{text: "mariadb server on ", sure: true}, {text: "server doesn't listen on ", sure: true},
		{text: "connect(2) for ", sure: true}, {text: "open tcp connection to ", sure: true}, // Ruby
		{text: "connect to host ", sure: true},                            // aiohttp, ssh
		{text: "connecting to redis on "}, {text: "connect call failed "}, // Ruby; asyncio
		{text: "connect to remote host ", sure: true, to: "("},                      // busybox
		{text: "connect to node ", to: "("}, {text: "connection to node ", to: "("}, // Kafka
		{text: "connection to the server "},                                                                                                 // kubectl
		{text: "database server at ", sure: true},                                                                                           // Prisma
		{text: "connectionpool(host=", sure: true}, {text: "httpconnection(host=", sure: true}, {text: "httpsconnection(host=", sure: true}, // urllib3
		{text: "target host name ", sure: true}, {text: "altnames: host: ", sure: true}, // TLS: curl, Node
		{text: "no further information: "}, {text: "connection refused: "}, {text: "connection timed out: "}, // Netty
		{text: "connection refused - connect(2) for "}, {text: "connection refused ("}, {text: "service not known ("}, // .NET
		{text: "temporary failure in name resolution ("}, {text: "no route to host ("}, {text: "connection timed out ("},
		{text: "tcp connect ("}, {text: "connection refused ["}, // Elixir; predis
		{text: "listener at host ", sure: true}, {text: "connection to the host ", sure: true}, // Oracle, SQL Server
		{text: "redis at "}, {text: "unabletoconnect on "}, // redis-cli, StackExchange.Redis
		{text: "address=", port: true}, {text: "to_address,{", sure: true}, // MongoDB's driver for Java, Erlang
		{text: "ipv4:"}, {text: "ipv6:"}, // gRPC
		{text: "failed to connect to "}, {text: "unable to connect to "}, {text: "cannot connect to "}, {text: "can't connect to "}, {text: "could not connect to "}, {text: "couldn't connect to "},
		{text: "error connecting to "}, {text: "connecting to "}, {text: "connection to "}, {text: "connected to "}, {text: "connect to "},
		{text: "failed to reach "}, {text: "cannot reach "}, {text: "can't reach "}, {text: "unable to reach "}, {text: "could not reach "},
		{text: "failed to dial "}, {text: "error dialing "}, {text: "dialing "},
		{text: "waiting on dependencies to become available: ", port: true}, {text: "seconds for ", port: true}, {text: "wait for ", port: true}, {text: "waiting for ", port: true}, // dockerize, wait-for-it
		{text: "upstream: "}, {text: "request for url ("}, {text: "for url: "},
		{text: `get "http`}, {text: `post "http`}, {text: `put "http`}, {text: `head "http`}, {text: `patch "http`}, {text: `delete "http`}, // Go
		{text: "connect(("}, // Python's source line
		{text: "host="},     // a connection string
	}
}

// led returns the address that the words before it lead up to. next is the line after, in
// which some clients go on.
func led(text, next string) (endpoint, bool) {
	low := lowerASCII(text)
	if e, ok := lookup(text, low); ok {
		return e, true
	}
	if i := strings.Index(low, ": [errno "); i > 0 { // mongo:27017: [Errno 111] Connection refused, of pymongo
		from := strings.LastIndexAny(text[:i], " ,\"'(=") + 1
		if e, ok := endpointAt(text[from:i], lead{}); ok && e.port != "" {
			return e, true
		}
	}
	var address endpoint // the first one that is no name
	for _, l := range leads() {
		for at, n := 0, 0; n < maxTries; n++ {
			i := strings.Index(low[at:], l.text)
			if i < 0 {
				break
			}
			at += i + len(l.text)
			from := at
			if strings.HasSuffix(l.text, `"http`) {
				from -= len("http")
			}
			rest := text[from:min(len(text), from+maxTarget+256)]
			if l.to != "" {
				j := strings.Index(rest[:min(len(rest), 16)], l.to)
				if j < 0 {
					continue
				}
				rest = rest[j+len(l.to):]
			}
			if next != "" {
				rest += " " + strings.TrimSpace(next)
			}
			if arrow := strings.Index(rest, "->"); arrow > 0 && arrow < 64 && !strings.ContainsAny(rest[:arrow], " \"") {
				rest = rest[arrow+2:] // the program's own end stands before it
			}
			e, ok := endpointAt(rest, l)
			if !ok || l.port && e.port == "" || l.text == "host=" && !settings(low, at) {
				continue
			}
			switch {
			case address.host == "" && e.ip:
				address = e
			case address.host == "":
				return e, true
			case !e.ip && e.port == address.port && e.port != "" && !strings.Contains(low, "proxyconnect"):
				return e, true // it goes by a name elsewhere
			}
		}
	}
	if address.host != "" {
		return nameFor(address, text, low), true
	}
	// read tcp 10.1.0.4:51234->10.0.0.5:5432: Go, of a connection that was there
	if i := strings.Index(text, "->"); i > 0 && digit(text[i-1]) {
		if e, ok := endpointAt(text[i+2:], lead{}); ok && e.port != "" {
			return nameFor(e, text, low), true
		}
	}
	return endpoint{}, false
}

// lookup reads what Go says of a name that it could not resolve: "lookup db on
// 10.96.0.10:53: no such host". Where the server of the names did not answer, that is what
// could not be reached.
func lookup(text, low string) (endpoint, bool) {
	i := strings.Index(low, "lookup ")
	if i < 0 || i > 0 && word(low[i-1]) {
		return endpoint{}, false
	}
	rest := text[i+len("lookup "):]
	name, ok := endpointAt(rest, lead{sure: true})
	if !ok || name.ip {
		return endpoint{}, false
	}
	_, on, ok := strings.Cut(rest, " on ")
	if !ok || len(rest)-len(on) > len(" on ")+len(name.host)+3 {
		if e := rest[min(len(rest), len(name.host)):]; e != "" && e[0] != ':' && e[0] != '.' && e[0] != '"' {
			return endpoint{}, false // some other lookup
		}
		return endpoint{host: name.host}, true
	}
	server, ok := endpointAt(on, lead{})
	if ok && server.ip && has(lowerASCII(on), "i/o timeout", "connection refused", "unreachable", "no route", "not permitted") {
		return server, true
	}
	return endpoint{host: name.host}, true
}

// nameFor returns the name of an address, where the text has both.
func nameFor(e endpoint, text, low string) endpoint {
	if strings.Contains(low, "proxyconnect") {
		return e
	}
	with := func(n endpoint) (endpoint, bool) {
		if n.ip || n.port != "" && e.port != "" && n.port != e.port {
			return e, false
		}
		if n.port == "" {
			n.port = e.port
		}
		return n, true
	}
	// 10.0.0.5:5432 (db): of pgx
	if _, after, ok := strings.Cut(text, e.String()+" ("); ok {
		if n, ok := endpointAt(after, lead{sure: true}); ok {
			if n, ok = with(n); ok {
				return n
			}
		}
	}
	if i := strings.Index(low, "host="); i >= 0 && (i == 0 || !word(low[i-1])) && settings(low, i+len("host=")) {
		if n, ok := endpointAt(text[i+len("host="):], lead{sure: true}); ok {
			if n, ok = with(n); ok {
				return n
			}
		}
	}
	if i := strings.Index(text, "://"); i > 0 {
		if n, ok := endpointAt(text[schemeAt(text, i):], lead{sure: true}); ok {
			if n, ok = with(n); ok {
				return n
			}
		}
	}
	return e
}

// settings tells that the host= which ends at i is that of a server, in a connection string.
// Loggers write that of the program itself.
func settings(low string, i int) bool {
	if before := low[:i-len("host=")]; strings.HasSuffix(before, ":") || strings.HasSuffix(before, ";") { // mysql:host=db
		return true
	}
	return has(low[i:min(len(low), i+200)], "dbname=", "database=", "port=", "user=")
}

// plain returns an address that stands in the line of a failure without words before it that
// say what it is: a URL, or an IP address with a port.
func plain(text string) (endpoint, bool) {
	low := lowerASCII(text)
	for at := 0; ; {
		i := strings.Index(text[at:], "://")
		if i < 0 {
			break
		}
		from := schemeAt(text, at+i)
		at += i + 3
		// Where to read about it is not what was asked.
		if before := low[max(0, from-48):from]; has(before, "see ", "visit", "more info", "information", "details", "docs", "documentation", "refer to", "read more", "help") {
			continue
		}
		if e, ok := endpointAt(text[from:], lead{sure: true}); ok && !strings.HasPrefix(e.host, "docs.") {
			return e, true
		}
	}
	for i := 0; i < len(text); i++ {
		if !digit(text[i]) || i > 0 && (word(text[i-1]) || text[i-1] == '.' || text[i-1] == '-') {
			continue
		}
		end := i
		for end < len(text) && (digit(text[end]) || text[end] == '.') {
			end++
		}
		if end == len(text) || text[end] != ':' || strings.Count(text[i:end], ".") != 3 {
			i = max(i, end-1)
			continue
		}
		before := low[max(0, i-12):i]
		from := i
		for i > 1 && text[i-1] == '/' && from > 0 && (from == i || word(text[from-1]) || text[from-1] == '-' || text[from-1] == '.') {
			from-- // redis/10.0.0.5:6379: Java
		}
		e, ok := endpointAt(text[from:], lead{})
		if !ok && from < i {
			e, ok = endpointAt(text[i:], lead{})
		}
		if ok && e.port != "" && !has(before, "from ", "client", "listen", "bind", "local", "source", "src") {
			return e, true
		}
		i = end
	}
	return endpoint{}, false
}

// field returns the address in a field of a structured line. A field called host is that of
// the program itself in too many formats.
func field(raw string) (endpoint, bool) {
	low := lowerASCII(raw)
	for _, name := range [...]string{"addr", "address", "endpoint", "broker", "target", "upstream"} {
		for _, form := range [...]string{`"` + name + `":`, " " + name + "="} {
			if i := strings.Index(low, form); i >= 0 {
				if e, ok := endpointAt(raw[i+len(form):], lead{}); ok && e.port != "" {
					return e, true
				}
			}
		}
	}
	return endpoint{}, false
}

// schemeAt returns where the scheme begins that ends at i.
func schemeAt(s string, i int) int {
	for i > 0 && (word(s[i-1]) || s[i-1] == '+' || s[i-1] == '-' || s[i-1] == '.') {
		i--
	}
	return i
}

// lowerASCII is strings.ToLower for ASCII alone, so that places stay the same.
func lowerASCII(s string) string {
	for i := 0; i < len(s); i++ {
		if c := s[i]; c >= 'A' && c <= 'Z' {
			b := []byte(s)
			for ; i < len(b); i++ {
				if c := b[i]; c >= 'A' && c <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
