//! What the gateway's sections say, and what is said about what is wrong in them.

use std::path::Path;

use super::*;
use crate::config::PipelineFile;

fn read(gateway: &str, door: &str) -> Result<Gateway, String> {
    let text = format!(
        "[pipeline]\nname = \"p\"\n[rules]\nfile = \"r.toml\"\nplugin = \"p.wasm\"\n{gateway}\n\
         [[source]]\nname = \"pms\"\nplugin = \"n.wasm\"\nidentity = true\n{door}"
    );
    let file = PipelineFile::parse(Path::new("etc/p.toml"), &text).map_err(|errors| errors.to_string())?;
    file.gateway.ok_or_else(|| "no gateway".to_owned())
}

const BEARER: &str = "[source.gateway]\nauth = { kind = \"bearer\", secrets = [\"env:TOKEN\", \"file:token\"] }";

#[test]
fn a_short_section_has_safe_defaults() {
    let gateway = read("[gateway]", BEARER).expect("a gateway");
    assert_eq!(gateway.listen.to_string(), "127.0.0.1:8080");
    assert_eq!((gateway.tls, gateway.limits), (None, GatewayLimits::default()));
    let door = &gateway.sources["pms"];
    assert_eq!(door.path.attributes("/pms"), Some(Vec::new()));
    assert_eq!(door.id.as_deref(), Some("webhook-id"));
    let places = [SecretPlace::Env("TOKEN".into()), SecretPlace::File("etc/token".into())];
    assert_eq!(door.auth.secrets(), places);
}

#[test]
fn an_hmac_over_the_body_alone_vouches_for_no_id() {
    let door = "[source.gateway]\nauth = { kind = \"hmac\", header = \"X-Sig\", secrets = [\"env:S\"] }";
    let gateway = read("[gateway]", door).expect("a gateway");
    assert_eq!(gateway.sources["pms"].id, None);
}

#[test]
fn what_is_wrong_is_said_with_the_remedy() {
    let auth = "auth = { kind = \"bearer\", secrets = [\"env:S\"] }";
    for (gateway, door, expected) in [
        ("", BEARER, "there is no section [gateway]; add [gateway]"),
        ("[gateway]", "", "add [source.gateway] to a source"),
        ("[gateway]\nlisten = \"here\"", BEARER, "`here` is no address with a port"),
        ("[gateway]\nlisten = \"0.0.0.0:1\"", BEARER, "add certificate_file and key_file"),
        ("[gateway]\nmetrics = \"0.0.0.0:1\"", BEARER, "for this machine alone"),
        ("[gateway]\ncertificate_file = \"c.pem\"", BEARER, "write both"),
        ("[gateway]\nbody_limit = \"1 GiB\"", BEARER, "1 KiB to 256 MiB"),
        ("[gateway]\nheld = \"2 KiB\"", BEARER, "at least body_limit"),
        ("[gateway]\nhead_timeout = \"1h\"", BEARER, "10ms to 10m"),
        ("[gateway]", "[source.gateway]\nauth = { kind = \"bearer\" }", "there are no secrets"),
        ("[gateway]", "[source.gateway]\nauth = { kind = \"none\", secrets = [\"env:S\"] }", "unknown kind `none`"),
        ("[gateway]", "[source.gateway]\nauth = { kind = \"basic\", secrets = [\"env:S\"] }", "needs `user`"),
        ("[gateway]", "[source.gateway]\nauth = { kind = \"hmac\", secrets = [\"env:S\"] }", "needs `header`"),
        (
            "[gateway]",
            "[source.gateway]\nauth = { kind = \"bearer\", user = \"u\", secrets = [\"env:S\"] }",
            "`user` belongs to kind = \"basic\"",
        ),
        ("[gateway]", &format!("[source.gateway]\npath = \"pms\"\n{auth}"), "begin with `/`"),
        ("[gateway]", &format!("[source.gateway]\npath = \"/a/{{B}}\"\n{auth}"), "lower-case letters and digits"),
        ("[gateway]", &format!("[source.gateway]\nheaders = {{ hotel = \"a b\" }}\n{auth}"), "no name of a header"),
        (
            "[gateway]",
            &format!("[source.gateway]\npath = \"/a/{{hotel}}\"\nheaders = {{ hotel = \"h\" }}\n{auth}"),
            "cannot be an attribute here",
        ),
        (
            "[gateway]",
            &format!(
                "{BEARER}\n[[source]]\nname = \"b\"\nplugin = \"n\"\nidentity = true\n[source.gateway]\npath = \"/{{x}}\"\n{auth}"
            ),
            "can be the same",
        ),
    ] {
        let errors = read(gateway, door).expect_err(expected);
        assert!(errors.contains(expected), "{expected}\n--\n{errors}");
    }
}

#[test]
fn a_secret_in_the_file_is_refused_and_not_repeated() {
    for secrets in ["[\"hunter2\", \"plain:hunter2\"]", "\"hunter2\"", "[[\"hunter2\"]]"] {
        let door = format!("[source.gateway]\nauth = {{ kind = \"bearer\", secrets = {secrets} }}");
        let errors = read("[gateway]", &door).expect_err("no places");
        assert!(errors.contains("env:NAME") && !errors.contains("hunter2"), "{errors}");
    }
}

#[test]
fn paths_give_attributes() {
    let pattern = PathPattern::parse("/pms/{property}/in").expect("a pattern");
    let property = |value: &str| Some(vec![("property".to_owned(), value.to_owned())]);
    for (path, expected) in [
        ("/pms/H1/in", property("H1")),
        ("/pms/H%201%c3%a9/in", property("H 1é")),
        ("/pms/a%2Fb/in", property("a/b")),
        ("/pms//in", None),
        ("/pms/H1", None),
        ("/pms/H1/in/", None),
        ("/pms/H1/in/x", None),
        ("/PMS/H1/in", None),
        ("/pms/%0a/in", None),
        ("/pms/%ff/in", None),
        ("/pms/%4/in", None),
        ("/pms/%/in", None),
        ("pms/H1/in", None),
        ("", None),
    ] {
        assert_eq!(pattern.attributes(path), expected, "{path}");
    }
}
