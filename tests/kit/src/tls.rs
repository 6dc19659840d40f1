//! Certificates made on the spot, and servers that speak TLS with them.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyIdMethod, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SerialNumber,
    SignatureAlgorithm, SigningKey, date_time_ymd,
};
use ring::{
    rand::{SecureRandom, SystemRandom},
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair},
};
use tempfile::TempDir;

use crate::{KitError, folder};

/// Signs certificates.
#[derive(Debug)]
pub struct Authority {
    issuer: Issuer<'static, Key>,
    pem: String,
}

/// A certificate with its key, both as PEM.
#[derive(Clone, Debug)]
pub struct Certified {
    /// The certificate.
    pub cert: String,
    /// Its key.
    pub key: String,
}

impl Authority {
    /// A new one. Two of one name are still two.
    ///
    /// # Panics
    /// When the system gives no randomness.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let key = Key::generate();
        let mut params = CertificateParams::default();
        identify(&mut params, &key);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let pem = params.self_signed(&key).expect("it signs itself").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Its own certificate, by which others know it.
    #[must_use]
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A certificate for a server of these names and addresses.
    #[must_use]
    pub fn server(&self, names: &[&str]) -> Certified {
        self.sign("server", names, false)
    }

    /// As [`Authority::server`], but it ended in the year 2000.
    #[must_use]
    pub fn expired_server(&self, names: &[&str]) -> Certified {
        self.sign("server", names, true)
    }

    /// A certificate for a client; etcd takes `user` for who it is.
    #[must_use]
    pub fn client(&self, user: &str) -> Certified {
        self.sign(user, &[], false)
    }

    /// As [`Authority::client`], but it ended in the year 2000.
    #[must_use]
    pub fn expired_client(&self, user: &str) -> Certified {
        self.sign(user, &[], true)
    }

    fn sign(&self, name: &str, names: &[&str], expired: bool) -> Certified {
        let names: Vec<String> = names.iter().copied().map(String::from).collect();
        let mut params = CertificateParams::new(names).expect("names are names");
        params.distinguished_name.push(DnType::CommonName, name);
        // etcd calls itself with its server's certificate.
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        if expired {
            params.not_after = date_time_ymd(2000, 1, 1);
        }
        let key = Key::generate();
        identify(&mut params, &key);
        let cert = params.signed_by(&key, &self.issuer).expect("it is signed").pem();
        Certified { cert, key: key.pem }
    }
}

/// What rcgen would choose by itself, were it built with its own cryptography.
fn identify(params: &mut CertificateParams, key: &Key) {
    let mut serial = [0; 16];
    SystemRandom::new().fill(&mut serial).expect("randomness");
    // A positive number.
    serial[0] &= 0x7f;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    let public = key.pair.public_key().as_ref();
    params.key_identifier_method = KeyIdMethod::PreSpecified(public[1..21].to_vec());
}

/// A key on the curve P-256.
#[derive(Debug)]
struct Key {
    pair: EcdsaKeyPair,
    pem: String,
}

impl Key {
    fn generate() -> Self {
        let (algorithm, random) = (&ECDSA_P256_SHA256_ASN1_SIGNING, SystemRandom::new());
        let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).expect("randomness");
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).expect("a key");
        Self { pair, pem: pem::encode(&pem::Pem::new("PRIVATE KEY", pkcs8.as_ref())) }
    }
}

impl PublicKeyData for Key {
    fn der_bytes(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for Key {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = self.pair.sign(&SystemRandom::new(), message);
        Ok(signature.map_err(|_| rcgen::Error::RemoteKeyError)?.as_ref().to_vec())
    }
}

/// The files with which a server speaks TLS. etcd reads its certificate and key again with every
/// handshake, so they may be replaced while it runs; whom it trusts it reads once.
#[derive(Clone, Debug)]
pub struct ServerTls {
    folder: Arc<TempDir>,
    /// Whether clients have to show a certificate.
    pub(crate) mutual: bool,
}

impl ServerTls {
    /// Files for a server that shows `own` and is called by clients that trust `trusted`, a list of
    /// authorities as PEM. With `mutual` it takes only clients whose certificates these signed.
    ///
    /// # Errors
    /// [`KitError::Os`] when the files cannot be written.
    pub fn new(trusted: &str, own: &Certified, mutual: bool) -> Result<Self, KitError> {
        let tls = Self { folder: Arc::new(folder::make()?), mutual };
        tls.write("ca.pem", trusted)?;
        tls.replace(own)?;
        Ok(tls)
    }

    /// From its next handshake on the server shows `own`. The kit's `etcdctl` shows it too.
    ///
    /// # Errors
    /// [`KitError::Os`] when the files cannot be written.
    pub fn replace(&self, own: &Certified) -> Result<(), KitError> {
        self.write("server.key", &own.key)?;
        self.write("server.pem", &own.cert)
    }

    /// Where a file of them is: `ca.pem`, `server.pem`, `server.key`.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) -> Result<(), KitError> {
        replace_file(&self.path(name), text)
    }
}

/// Puts `text` in a file's place in one step: nobody reads half of it.
///
/// # Errors
/// [`KitError::Os`].
pub fn replace_file(path: &Path, text: &str) -> Result<(), KitError> {
    let beside = path.with_extension("new");
    fs::write(&beside, text).map_err(KitError::os("writing a file"))?;
    fs::rename(&beside, path).map_err(KitError::os("replacing a file"))
}
