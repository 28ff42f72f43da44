package errorcatalog_test

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"farshore/domain/errorcatalog"
)

func TestEveryCodeIsInTheCatalogue(t *testing.T) {
	t.Parallel()
	codes := constants(t)
	if len(codes) < 100 {
		t.Fatalf("found %d code constants in codes.go, which cannot be all", len(codes))
	}
	for name, code := range codes {
		if _, ok := errorcatalog.Lookup(code); !ok {
			t.Errorf("%s (%s) has no entry", name, code)
		}
	}
	if got, want := len(errorcatalog.All()), len(codes); got != want {
		t.Errorf("the catalogue has %d entries for %d codes", got, want)
	}
}

func TestEveryEntryIsComplete(t *testing.T) {
	t.Parallel()
	var (
		form    = regexp.MustCompile(`^[a-z]+(_[a-z]+)*$`)
		classes = map[errorcatalog.Class]bool{
			errorcatalog.Recoverable: true, errorcatalog.NonRecoverable: true,
			errorcatalog.Resynchronize: true, errorcatalog.Refusal: true,
		}
		seen = map[errorcatalog.Code]bool{}
	)
	for _, e := range errorcatalog.All() {
		if seen[e.Code] {
			t.Errorf("%s is listed twice", e.Code)
		}
		seen[e.Code] = true
		t.Run(string(e.Code), func(t *testing.T) {
			t.Parallel()
			if !form.MatchString(string(e.Code)) {
				t.Error("is not in snake case")
			}
			if !classes[e.Class] {
				t.Errorf("has the class %q", e.Class)
			}
			if e.Message == "" || strings.HasSuffix(e.Message, ".") {
				t.Errorf("has the message %q", e.Message)
			}
			if !strings.HasSuffix(e.Remedy, ".") {
				t.Errorf("has the remedy %q", e.Remedy)
			}
			if len(e.Causes) == 0 {
				t.Error("has no causes")
			}
		})
	}
}

func TestTheClassSaysWhatFollows(t *testing.T) {
	t.Parallel()
	for code, want := range map[errorcatalog.Code]errorcatalog.Class{
		"of_another_version":                    errorcatalog.Recoverable,
		errorcatalog.HostUnreachable:            errorcatalog.Recoverable,
		errorcatalog.ReplicaStoreFull:           errorcatalog.Recoverable,
		errorcatalog.InsufficientMemory:         errorcatalog.Recoverable,
		errorcatalog.InternalError:              errorcatalog.Recoverable,
		errorcatalog.VMNotFound:                 errorcatalog.NonRecoverable,
		errorcatalog.DiskNotFound:               errorcatalog.NonRecoverable,
		errorcatalog.ReplicaStoreAuthentication: errorcatalog.NonRecoverable,
		errorcatalog.ReplicaStoreAuthorization:  errorcatalog.NonRecoverable,
		errorcatalog.ReplicaDiskNotFound:        errorcatalog.NonRecoverable,
		errorcatalog.LogChainBroken:             errorcatalog.Resynchronize,
		errorcatalog.LogThresholdExceeded:       errorcatalog.Resynchronize,
		errorcatalog.AlreadyProtected:           errorcatalog.Refusal,
	} {
		if got := errorcatalog.ClassOf(code); got != want {
			t.Errorf("class of %s = %s, want %s", code, got, want)
		}
	}
}

func TestAllIsACopy(t *testing.T) {
	t.Parallel()
	errorcatalog.All()[0].Message = "changed"
	if errorcatalog.All()[0].Message == "changed" {
		t.Error("a caller can change the catalogue")
	}
}

func TestTheDocumentationShowsEveryEntry(t *testing.T) {
	t.Parallel()
	text := errorcatalog.Markdown(errorcatalog.All())
	for _, e := range errorcatalog.All() {
		for _, part := range []string{"\n## `" + string(e.Code) + "`\n", e.Message + " (" + string(e.Class) + ")", "- " + e.Causes[0] + "\n", "Remedy: " + e.Remedy} {
			if !strings.Contains(text, part) {
				t.Errorf("%s: %q is missing", e.Code, part)
			}
		}
	}
}

func TestAnErrorWithoutACodeIsAnInternalError(t *testing.T) {
	t.Parallel()
	f := errorcatalog.Of(fs.ErrNotExist)
	if f.Code != errorcatalog.InternalError || !errors.Is(f, fs.ErrNotExist) {
		t.Errorf("failure = %+v", f)
	}
}

func TestAFailureKeepsItsCodeAndCause(t *testing.T) {
	t.Parallel()
	f := errorcatalog.Fail(errorcatalog.DiskUnreadable, "disk %q", "os").Because(fs.ErrPermission)
	if got := errorcatalog.Of(errors.Join(errors.New("while copying"), f)); got != f {
		t.Errorf("failure found = %+v", got)
	}
	if want := `disk_unreadable: disk "os": permission denied`; f.Error() != want {
		t.Errorf("text = %q, want %q", f.Error(), want)
	}
	if !errors.Is(f, fs.ErrPermission) {
		t.Error("the cause is hidden")
	}
}

// constants returns the Code constants that codes.go declares.
func constants(t *testing.T) map[string]errorcatalog.Code {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "codes.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	codes := map[string]errorcatalog.Code{}
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		literal, ok := spec.Values[0].(*ast.BasicLit)
		if !ok {
			t.Fatalf("%s is not a literal", spec.Names[0].Name)
		}
		value, err := strconv.Unquote(literal.Value)
		if err != nil {
			t.Fatal(err)
		}
		codes[spec.Names[0].Name] = errorcatalog.Code(value)
		return true
	})
	return codes
}
