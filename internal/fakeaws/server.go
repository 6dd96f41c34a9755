// Package fakeaws is a small AWS that runs inside a test or a sandbox: an
// http.Handler that answers STS GetCallerIdentity and AssumeRole, EKS
// ListClusters and DescribeCluster, and IAM GetRole, in AWS's shapes, codes and
// HTTP statuses.
//
// It is not a mock of one client. It verifies Signature Version 4 by itself,
// from AWS's specification, and imports neither an AWS SDK nor anything of
// ekskey, so that a mistake in signing cannot vouch for itself. What real AWS
// refuses, it refuses in the same words: a wrong signature, an old date, a key
// it does not know, a session token that belongs to another key.
//
// One handler serves every service, account and region: the credential scope of
// the signature says which service and region a request is for, and its key
// says which account. Where the Host header is one of AWS's own hosts, the scope
// must fit it.
//
// It is for tests and demonstrations and guards nothing of value: its state
// lives in memory and there is no persistence. It has no control interface over
// HTTP; accounts, faults and counts are reached from Go only. TLS and listening
// are the caller's business.
package fakeaws

import (
	"crypto/rand"
	"io"
	"net/http"
	"sync"
	"time"
)

// maxBody is the largest request body that is read, in bytes. The largest real
// request here is an AssumeRole form of a few KiB.
const maxBody = 64 << 10

// Config is what a Server needs. The zero value works.
type Config struct {
	// Now is the server's clock; nil means time.Now. SetSkew shifts it.
	Now func() time.Time

	// Rand is where keys, ids and tokens come from; nil means crypto/rand.
	Rand io.Reader

	// SessionTokenBytes is the length of the session tokens that AssumeRole
	// mints. Zero means 1,000, much like AWS's; the least is 64 and the most
	// 4,096, the longest that AWS has announced. Values outside are brought to
	// the nearest bound. AWS promises neither size nor shape, and a client must
	// not rely on one.
	SessionTokenBytes int

	// Observe, if set, is called once for each request after it was answered,
	// from the request's own goroutine.
	Observe func(Record)
}

// Record says what one request was and what became of it. It never holds a
// secret, a token or a signature.
type Record struct {
	Time        time.Time // the server's clock
	Action      Action    // empty if the request named none that is known
	Host        string    // the Host header, as sent
	Region      string    // from the credential scope, unverified; empty if unsigned
	AccessKeyID string    // from the credential scope, unverified; empty if unsigned
	CallerARN   string    // empty unless the signature was verified
	Status      int       // 0 if the connection was cut
	Code        string    // AWS's error code; empty on success and for raw answers
}

// Server is an AWS in memory. Make it with New. All methods are safe for
// concurrent use.
type Server struct {
	now       func() time.Time
	rand      io.Reader
	tokenSize int
	observe   func(Record)

	mu       sync.Mutex
	skew     time.Duration
	accounts map[string]*account    // by account id
	byARN    map[string]*principal  // users, roles and roots
	keys     map[string]*credential // by access key id
	clusters map[clusterKey]Cluster
	counts   map[Action]int
	faults   map[Action]*Fault
}

// New returns a Server with no accounts, users, roles or clusters.
func New(cfg Config) *Server {
	s := &Server{
		now:       cfg.Now,
		rand:      cfg.Rand,
		tokenSize: cfg.SessionTokenBytes,
		observe:   cfg.Observe,
		accounts:  map[string]*account{},
		byARN:     map[string]*principal{},
		keys:      map[string]*credential{},
		clusters:  map[clusterKey]Cluster{},
		counts:    map[Action]int{},
		faults:    map[Action]*Fault{},
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.rand == nil {
		s.rand = rand.Reader
	}
	if s.tokenSize == 0 {
		s.tokenSize = 1000
	}
	s.tokenSize = min(max(s.tokenSize, 64), 4096)
	return s
}

// ServeHTTP answers one AWS API request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c := &call{r: r, w: w, at: s.clock(), requestID: newRequestID()}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	c.body = body
	target := c.parseTarget()
	auth, authErr := parseAuthorization(c)
	c.auth = auth
	c.service = serviceOf(c)
	paramsErr := c.parseParams()
	c.action = actionOf(c)

	if s.observe != nil {
		defer func() { s.observe(c.record()) }() // also when a fault cuts by panic
	}
	fault := s.admit(c)
	if !fault.apply(c) {
		switch {
		case err != nil:
			return // the client went away while sending
		case len(body) > maxBody:
			c.fail(&apiError{"RequestEntityTooLarge", "Request body is too large.", http.StatusRequestEntityTooLarge})
		case target != nil:
			c.fail(target)
		case authErr != nil:
			c.fail(authErr)
		case paramsErr != nil:
			c.fail(paramsErr)
		default:
			s.serve(c)
		}
	}
}

// serve verifies who calls and runs the action.
func (s *Server) serve(c *call) {
	who, err := s.authenticate(c)
	if err != nil {
		c.fail(err)
		return
	}
	c.callerARN = who.arn()
	if err := c.checkRoute(); err != nil {
		c.fail(err)
		return
	}
	var result any
	switch c.action {
	case GetCallerIdentity:
		result = getCallerIdentity(who)
	case AssumeRole:
		result, err = s.assumeRole(c, who)
	case GetRole:
		result, err = s.getRole(c, who)
	case ListClusters:
		result, err = s.listClusters(c, who)
	case DescribeCluster:
		result, err = s.describeCluster(c, who)
	default:
		err = unknownAction(c)
	}
	if err != nil {
		c.fail(err)
		return
	}
	c.succeed(result)
}

// clock is the server's time, skew included.
func (s *Server) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now().UTC().Add(s.skew)
}
