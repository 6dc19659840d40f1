use std::io;

use tokio_rustls::rustls::{AlertDescription, CertificateError, Error};

/// What went wrong in a handshake, for whoever has to mend it. `shown`: whether we showed a
/// certificate.
pub(super) fn explain(error: &io::Error, shown: bool) -> String {
    let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            return format!("the server hung up in the handshake; does it speak TLS? ({error})");
        }
        return error.to_string();
    };
    if let Error::InvalidCertificate(problem) = tls {
        return format!("the server's certificate {}", misfit(problem));
    }
    if let Error::AlertReceived(alert) = tls {
        return match (is_about_certificates(*alert), shown) {
            (true, true) => format!("the server refuses our certificate ({alert:?})"),
            (true, false) => {
                format!("the server wants a client certificate, and we have none ({alert:?})")
            }
            (false, _) => format!("the server ended the handshake ({alert:?})"),
        };
    }
    if let Error::InvalidMessage(_) = tls {
        return format!("the server does not speak TLS ({tls})");
    }
    tls.to_string()
}

fn misfit(problem: &CertificateError) -> String {
    use CertificateError as Problem;
    let words = if matches!(problem, Problem::Expired | Problem::ExpiredContext { .. }) {
        "has expired"
    } else if matches!(problem, Problem::NotValidYet | Problem::NotValidYetContext { .. }) {
        "is not valid yet"
    } else if matches!(problem, Problem::UnknownIssuer | Problem::BadSignature) {
        // Two authorities of one name: the signature is not that of the one we know.
        "is not signed by an authority that we trust"
    } else if matches!(problem, Problem::NotValidForName | Problem::NotValidForNameContext { .. }) {
        "is for another name"
    } else {
        "is refused"
    };
    format!("{words} ({problem})")
}

fn is_about_certificates(alert: AlertDescription) -> bool {
    [
        AlertDescription::NoCertificate,
        AlertDescription::BadCertificate,
        AlertDescription::UnsupportedCertificate,
        AlertDescription::CertificateRevoked,
        AlertDescription::CertificateExpired,
        AlertDescription::CertificateUnknown,
        AlertDescription::UnknownCA,
        AlertDescription::AccessDenied,
        AlertDescription::CertificateRequired,
    ]
    .contains(&alert)
}
