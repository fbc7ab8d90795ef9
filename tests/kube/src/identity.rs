//! Who somebody is to the API server: certificates, tokens, kubeconfigs.
//!
//! Owns [`Authority`], which signs for one cluster, and [`Identity`], one user with credentials in files
//! and ready for a connection. `cluster` makes them, tests and the proxy use them. Invariant: the API
//! server takes from a certificate the user and the groups that it was made for
//! (`an_identity_is_who_it_says`).

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};

use crate::Fault;
use crate::home::Home;

/// Object identifier of `organizationName` (RFC 4519, section 2.19): rcgen holds one value for each
/// kind of name, and a second group goes under the number of the kind.
const ORGANIZATION: [u64; 4] = [2, 5, 4, 10];

/// A user of the API server, with what proves it.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The user's name: `system:node:a`, `system:serviceaccount:kube-system:agent`.
    pub user: String,
    /// A file with the server's address and the credentials, for kubectl and client libraries. It goes
    /// with the cluster.
    pub kubeconfig: PathBuf,
    /// The bearer token, when that is what proves who this is.
    pub token: Option<String>,
    /// Where the API server listens.
    pub server: SocketAddr,
    pub(crate) tls: Arc<ClientConfig>,
}

/// The certificate authority of one cluster.
pub(crate) struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    home: PathBuf,
    server: SocketAddr,
    count: AtomicU64,
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Authority").field("server", &self.server).finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes an authority for the server at that address, and the files that this server reads:
    /// `ca.crt`, `server.crt`, `server.key`, `accounts.key`, `accounts.pub`.
    ///
    /// # Errors
    /// When a key cannot be made or a file not be written.
    pub(crate) fn open(home: &Home, server: SocketAddr) -> Result<Self, Fault> {
        let issuer = authority().map_err(Fault::certificate("the authority"))?;
        let authority =
            Self { issuer, home: home.path().to_path_buf(), server, count: AtomicU64::new(0) };
        home.write("ca.crt", &authority.issuer.pem())?;
        let names = ["localhost", "127.0.0.1", "kubernetes.default.svc"];
        let made = CertificateParams::new(names.map(str::to_owned).to_vec())
            .and_then(|parameters| authority.sign(parameters, ExtendedKeyUsagePurpose::ServerAuth))
            .map_err(Fault::certificate("the server"))?;
        home.write("server.crt", &made.certificate)?;
        home.write("server.key", &made.key.serialize_pem())?;
        let accounts = KeyPair::generate().map_err(Fault::certificate("service accounts"))?;
        home.write("accounts.key", &accounts.serialize_pem())?;
        home.write("accounts.pub", &accounts.public_key_pem())?;
        Ok(authority)
    }

    /// Gives the user of that name in these groups, at most two, known by a certificate.
    ///
    /// # Errors
    /// When there are more groups, a key cannot be made, or a file not be written.
    pub(crate) fn identity(&self, user: &str, groups: &[&str]) -> Result<Identity, Fault> {
        let parameters = client(user, groups)?;
        let made = self
            .sign(parameters, ExtendedKeyUsagePurpose::ClientAuth)
            .map_err(Fault::certificate(user))?;
        let key = made.key.serialize_pem();
        let name = self.next_name();
        let certificate = self.write(&format!("{name}.crt"), &made.certificate)?;
        let key_file = self.write(&format!("{name}.key"), &key)?;
        let proof = json!({ "client-certificate": certificate, "client-key": key_file });
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.key.serialize_der()));
        let tls = self.trusting()?.with_client_auth_cert(vec![made.der], key)?;
        self.complete(user, &name, &proof, (tls, None))
    }

    /// Gives the user of that name, known by a token that the API server has made.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub(crate) fn bearer(&self, user: &str, token: &str) -> Result<Identity, Fault> {
        let tls = self.trusting()?.with_no_client_auth();
        let proof = json!({ "token": token });
        self.complete(user, &self.next_name(), &proof, (tls, Some(token.to_owned())))
    }

    fn complete(
        &self,
        user: &str,
        name: &str,
        proof: &Value,
        (tls, token): (ClientConfig, Option<String>),
    ) -> Result<Identity, Fault> {
        let cluster = json!({
            "server": format!("https://{}", self.server),
            "certificate-authority": self.home.join("ca.crt"),
        });
        let text = kubeconfig(user, &cluster, proof);
        let kubeconfig = self.write(&format!("{name}.kubeconfig"), &text)?;
        let (user, server, tls) = (user.to_owned(), self.server, Arc::new(tls));
        Ok(Identity { user, kubeconfig, token, server, tls })
    }

    fn trusting(
        &self,
    ) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, Fault> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider);
        Ok(builder.with_safe_default_protocol_versions()?.with_root_certificates(roots))
    }

    fn sign(
        &self,
        mut parameters: CertificateParams,
        purpose: ExtendedKeyUsagePurpose,
    ) -> Result<Made, rcgen::Error> {
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.extended_key_usages = vec![purpose];
        let key = KeyPair::generate()?;
        let signed = parameters.signed_by(&key, &self.issuer)?;
        Ok(Made { certificate: signed.pem(), der: signed.der().clone(), key })
    }

    fn next_name(&self) -> String {
        format!("client-{}", self.count.fetch_add(1, Ordering::Relaxed))
    }

    fn write(&self, name: &str, text: &str) -> Result<PathBuf, Fault> {
        write(&self.home, name, text)
    }
}

/// A certificate with its key.
struct Made {
    certificate: String,
    der: CertificateDer<'static>,
    key: KeyPair,
}

fn write(directory: &Path, name: &str, text: &str) -> Result<PathBuf, Fault> {
    let path = directory.join(name);
    std::fs::write(&path, text).map_err(Fault::file("write", &path))?;
    Ok(path)
}

fn authority() -> Result<CertifiedIssuer<'static, KeyPair>, rcgen::Error> {
    let mut parameters = CertificateParams::new(Vec::new())?;
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters.distinguished_name = DistinguishedName::new();
    parameters.distinguished_name.push(DnType::CommonName, "spiderpool test authority");
    CertifiedIssuer::self_signed(parameters, KeyPair::generate()?)
}

/// The API server reads the user from the common name and the groups from the organizations.
fn client(user: &str, groups: &[&str]) -> Result<CertificateParams, Fault> {
    let mut parameters = CertificateParams::new(Vec::new()).map_err(Fault::certificate(user))?;
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, user);
    let kinds = [DnType::OrganizationName, DnType::CustomDnType(ORGANIZATION.to_vec())];
    if groups.len() > kinds.len() {
        return Err(Fault::Groups { groups: groups.iter().map(|&text| text.to_owned()).collect() });
    }
    for (kind, group) in kinds.into_iter().zip(groups) {
        name.push(kind, *group);
    }
    parameters.distinguished_name = name;
    Ok(parameters)
}

/// Gives a kubeconfig's text; JSON is YAML.
pub(crate) fn kubeconfig(user: &str, cluster: &Value, proof: &Value) -> String {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "test", "cluster": cluster }],
        "users": [{ "name": user, "user": proof }],
        "contexts": [{ "name": "test", "context": { "cluster": "test", "user": user } }],
        "current-context": "test",
    });
    format!("{config:#}\n")
}

/// Gives the address of a port of loopback.
pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_names_two_groups_at_most() {
        let organizations = |groups: &[&str]| {
            let name = client("u", groups).unwrap().distinguished_name;
            name.iter().count() - 1
        };
        assert_eq!(organizations(&[]), 0);
        assert_eq!(organizations(&["a", "b"]), 2);
        let text = client("u", &["a", "b", "c"]).unwrap_err().to_string();
        assert!(text.contains(r#"["a", "b", "c"]: two at most"#), "{text}");
    }
}
