//lint:file-ignore U1000 the fields are those of a struct in aws-iam-authenticator

package authenticator

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	_ "unsafe" // for go:linkname

	"github.com/sirupsen/logrus"
	"sigs.k8s.io/aws-iam-authenticator/pkg/arn"
	"sigs.k8s.io/aws-iam-authenticator/pkg/config"
	"sigs.k8s.io/aws-iam-authenticator/pkg/ec2provider"
	"sigs.k8s.io/aws-iam-authenticator/pkg/mapper"
	"sigs.k8s.io/aws-iam-authenticator/pkg/mapper/configmap"
	"sigs.k8s.io/aws-iam-authenticator/pkg/mapper/dynamicfile"
	"sigs.k8s.io/aws-iam-authenticator/pkg/mapper/file"
	_ "sigs.k8s.io/aws-iam-authenticator/pkg/server" // whose methods are linked to
	"sigs.k8s.io/aws-iam-authenticator/pkg/token"
)

func TestMain(m *testing.M) {
	logrus.SetOutput(io.Discard) // aws-iam-authenticator's words about each text
	os.Exit(m.Run())
}

// saveMap puts parsed sections in force, as its watch of the ConfigMap does.
//
//go:linkname saveMap sigs.k8s.io/aws-iam-authenticator/pkg/mapper/configmap.(*MapStore).saveMap
func saveMap(*configmap.MapStore, []config.UserMapping, []config.RoleMapping, []string)

// doMapping asks the mappers in order and renders the templates.
//
//go:linkname doMapping sigs.k8s.io/aws-iam-authenticator/pkg/server.(*handler).doMapping
func doMapping(*handler, *token.Identity) (string, []string, error)

// handler has the fields of server.handler in v0.6.13.
type handler struct {
	http.ServeMux
	mutex            sync.RWMutex
	verifier         token.Verifier
	ec2Provider      ec2provider.EC2Provider
	clusterID        string
	backendMapper    backendMapper
	scrubbedAccounts []string
	cfg              config.Config
}

// backendMapper has the fields of server.BackendMapper.
type backendMapper struct {
	mappers      []mapper.Mapper
	mapperStopCh chan struct{}
	currentModes string
}

// ec2 is the stand-in that both sides ask.
type ec2 struct{}

func (ec2) StartEc2DescribeBatchProcessing() {}

func (ec2) GetPrivateDNSName(id string) (string, error) {
	if id == "i-00000000" {
		return "", errors.New("no such instance")
	}
	return "ip-" + strings.TrimPrefix(id, "i-") + ".ec2.internal", nil
}

// real is aws-iam-authenticator with one mapper.
type real struct{ handler *handler }

func newReal(m mapper.Mapper) real {
	return real{&handler{ec2Provider: ec2{}, backendMapper: backendMapper{mappers: []mapper.Mapper{m}}}}
}

func realConfigMap(data map[string]string) real {
	users, roles, accounts, _ := configmap.ParseMap(data) // its caller saves what could be read
	store := &configmap.MapStore{}
	saveMap(store, users, roles, accounts)
	return newReal(&configmap.ConfigMapMapper{MapStore: store})
}

func realDynamicFile(text string, strict bool, reserved []string) (real, error) {
	m, err := dynamicfile.NewDynamicFileMapper(config.Config{
		DynamicFileUserIDStrict: strict,
		ReservedPrefixConfig:    map[string]config.ReservedPrefixConfig{"DynamicFile": {UsernamePrefixReserveList: reserved}},
	})
	if err == nil {
		err = m.CallBackForFileLoad([]byte(text))
	}
	return newReal(m), err
}

func realFile(roles []config.RoleMapping, users []config.UserMapping, accounts, reserved []string) (real, error) {
	m, err := file.NewFileMapper(config.Config{
		RoleMappings: roles, UserMappings: users, AutoMappedAWSAccounts: accounts,
		ReservedPrefixConfig: map[string]config.ReservedPrefixConfig{"MountedFile": {UsernamePrefixReserveList: reserved}},
	})
	if err != nil {
		return real{}, err
	}
	return newReal(m), nil
}

// answer is who somebody is, or why not.
type answer struct {
	Username string   `json:"username"`
	Groups   []string `json:"groups"`
	// Error is "not mapped" or "refused", or empty.
	Error string `json:"error,omitempty"`
}

func (r real) ask(t *testing.T, p principal) answer {
	t.Helper()
	kind, canonical, err := arn.Canonicalize(p.ARN)
	if err != nil {
		t.Fatal(err)
	}
	id := &token.Identity{ARN: p.ARN, CanonicalARN: canonical, AccountID: p.Account, UserID: p.UserID, AccessKeyID: accessKey}
	if kind == arn.ASSUMED_ROLE { // as pkg/token's Verify does
		id.UserID, id.SessionName, _ = strings.Cut(p.UserID, ":")
	}
	username, groups, err := doMapping(r.handler, id)
	switch {
	case errors.Is(err, mapper.ErrNotMapped):
		return answer{Error: "not mapped"}
	case err != nil:
		return answer{Error: "refused"}
	}
	if groups == nil {
		groups = []string{}
	}
	return answer{Username: username, Groups: groups}
}
