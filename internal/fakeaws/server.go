// Package fakeaws is a small AWS that runs inside a test or a sandbox: an
// http.Handler that answers, in AWS's shapes, codes and HTTP statuses,
//
//   - STS GetCallerIdentity, AssumeRole and AssumeRoleWithWebIdentity;
//   - of EKS what is about reading clusters, access entries, access policies, tags,
//     and changing the authentication mode;
//   - of IAM what is about roles, users, groups, their policies, and instance
//     profiles;
//   - EC2 DescribeInstances;
//   - of IAM Identity Center the access portal and SSO-OIDC.
//
// Policies are evaluated: those of the caller, those of its groups, and trust
// policies. What was added from Go without a policy may do anything, so that a test
// says only what it is about.
//
// It is not a mock of one client. It verifies Signature Version 4 by itself,
// from AWS's specification, and imports neither an AWS SDK nor anything of
// ekskey, so that a mistake in signing cannot vouch for itself. What real AWS
// refuses, it refuses in the same words: a wrong signature, an old date, a key
// it does not know, a session token that belongs to another key, a web identity
// whose own signature does not hold.
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

// distance is how long an answer to a request with a body takes at the least. No
// caller of AWS is as near as one on the same computer: there, an answer can be
// back before the caller's transport has taken note of having sent all, and Go's
// then closes the connection with the answer half read.
const distance = 2 * time.Millisecond

// maxBody is the largest request body that is read, in bytes. The largest real
// request here is a form with a policy document of some 10,000 characters, escaped.
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

	// UpdateTime is how long an update of a cluster's configuration takes, by the
	// server's clock. Zero means a second.
	UpdateTime time.Duration

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
	updating  time.Duration
	observe   func(Record)
	randMu    sync.Mutex // guards rand

	mu        sync.Mutex
	skew      time.Duration
	lag       time.Duration
	accounts  map[string]*account    // by account id
	byARN     map[string]*principal  // users, roles and roots
	keys      map[string]*credential // by access key id
	clusters  map[clusterKey]*cluster
	policies  map[string]*managedPolicy   // by ARN
	profiles  map[string]*instanceProfile // by ARN
	instances []*Instance                 // in the order that they were added
	counts    map[Action]int
	faults    map[Action]*Fault
	sso       ssoState
	oidc      map[string]*OIDCProvider // by ARN
}

// New returns a Server with no accounts, users, roles or clusters.
func New(cfg Config) *Server {
	s := &Server{
		now:       cfg.Now,
		rand:      cfg.Rand,
		tokenSize: cfg.SessionTokenBytes,
		updating:  cfg.UpdateTime,
		observe:   cfg.Observe,
		accounts:  map[string]*account{},
		byARN:     map[string]*principal{},
		keys:      map[string]*credential{},
		clusters:  map[clusterKey]*cluster{},
		policies:  map[string]*managedPolicy{},
		profiles:  map[string]*instanceProfile{},
		counts:    map[Action]int{},
		faults:    map[Action]*Fault{},
		sso:       newSSOState(),
		oidc:      map[string]*OIDCProvider{},
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.rand == nil {
		s.rand = rand.Reader
	}
	if s.updating == 0 {
		s.updating = time.Second
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
	if len(body) > 0 {
		time.Sleep(distance)
	}
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
		case authErr != nil && !c.bare():
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
	var who *credential
	if !c.bare() {
		var err *apiError
		if who, err = s.authenticate(c); err != nil {
			c.fail(err)
			return
		}
		c.callerARN = who.arn()
	}
	if err := c.checkRoute(); err != nil {
		c.fail(err)
		return
	}
	result, err := s.run(c, who)
	if err != nil {
		c.fail(err)
		return
	}
	c.succeed(result)
}

// bare reports whether the request bears no signature and needs none.
func (c *call) bare() bool { return !c.signed && c.action.unsigned() }

// run does what was asked. Who is nil where nothing had to be signed.
func (s *Server) run(c *call, who *credential) (any, *apiError) {
	if handle, ok := handlers[c.action]; ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		return handle(s, c, who)
	}
	if c.action == AssumeRoleWithWebIdentity {
		return s.assumeRoleWithWebIdentity(c)
	}
	if s.hasSSO() {
		switch c.action {
		case GetRoleCredentials:
			return s.getRoleCredentials(c)
		case ListAccounts:
			return s.listAccounts(c)
		case ListAccountRoles:
			return s.listAccountRoles(c)
		case RegisterClient:
			return s.registerClient(c)
		case StartDeviceAuthorization:
			return s.startDeviceAuthorization(c)
		case CreateToken:
			return s.createToken(c)
		}
	}
	return nil, unknownAction(c)
}

// clock is the server's time, skew included.
func (s *Server) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.now().UTC().Add(s.skew)
}
