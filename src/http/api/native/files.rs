//! Files of domains and workspaces: the body of a request is the file itself, whatever its `Content-Type` is.

use hyper::StatusCode;

use super::app_links;
use crate::http::api::dialect::{
    BadRequest, Body, Command, FileAct, FileOf, JSON, QrLogo, RequestParts, ScopedCommand, read,
};
use crate::model::Invalid;
use crate::model::attachment::{Attachment, AttachmentFormat, AttachmentUse};

/// Parses `GET /domains/{id}/FILE`.
pub(super) fn of_domain(
    request: &RequestParts<'_>,
    used: AttachmentUse,
) -> Result<ScopedCommand, BadRequest> {
    read(request, Command::OfFile(domain(request)?, used, FileAct::Read))
}

/// Parses `PUT /domains/{id}/FILE`.
pub(super) fn set_of_domain(
    request: &RequestParts<'_>,
    used: AttachmentUse,
) -> Result<ScopedCommand, BadRequest> {
    // The id first: a body for an object that cannot exist is not read.
    let of = domain(request)?;
    no_form(request, used)?;
    let (file, warnings) = match used {
        AttachmentUse::Logo => (logo(request)?, Vec::new()),
        AttachmentUse::AppleApps => app_links::apple(request.body)?,
        AttachmentUse::AndroidApps => app_links::android(request.body)?,
    };
    let scoped = read(request, Command::OfFile(of, used, FileAct::Set(file)))?;
    Ok(ScopedCommand { warnings, ..scoped })
}

/// Parses `DELETE /domains/{id}/FILE`.
pub(super) fn remove_of_domain(
    request: &RequestParts<'_>,
    used: AttachmentUse,
) -> Result<ScopedCommand, BadRequest> {
    read(request, Command::OfFile(domain(request)?, used, FileAct::Remove))
}

/// Parses `GET /workspaces/{id}/qr-logo`.
pub(super) fn of_workspace(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    read(request, Command::OfFile(workspace(request)?, AttachmentUse::Logo, FileAct::Read))
}

/// Parses `PUT /workspaces/{id}/qr-logo`.
pub(super) fn set_of_workspace(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    let of = workspace(request)?;
    no_form(request, AttachmentUse::Logo)?;
    read(request, Command::OfFile(of, AttachmentUse::Logo, FileAct::Set(logo(request)?)))
}

/// Parses `DELETE /workspaces/{id}/qr-logo`.
pub(super) fn remove_of_workspace(request: &RequestParts<'_>) -> Result<ScopedCommand, BadRequest> {
    read(request, Command::OfFile(workspace(request)?, AttachmentUse::Logo, FileAct::Remove))
}

fn domain(request: &RequestParts<'_>) -> Result<FileOf, BadRequest> {
    Ok(FileOf::Domain(request.id("domain")?))
}

fn workspace(request: &RequestParts<'_>) -> Result<FileOf, BadRequest> {
    Ok(FileOf::Workspace(request.foreign_id("workspace")?))
}

fn logo(request: &RequestParts<'_>) -> Result<Attachment, BadRequest> {
    Ok(QrLogo::parse(request.body)?.file().clone())
}

/// Fails if a body is a form with the file in it, as `curl -F` sends it: its boundary would be a part of the file.
fn no_form(request: &RequestParts<'_>, used: AttachmentUse) -> Result<(), BadRequest> {
    // The head of its first part: a picture may have such words further behind.
    const HEAD: usize = 1_024;
    let head = String::from_utf8_lossy(&request.body[..request.body.len().min(HEAD)]).to_ascii_lowercase();
    if !head.starts_with("--") || !head.contains("content-disposition: form-data") {
        return Ok(());
    }
    let field = match used {
        AttachmentUse::Logo => "logo",
        AttachmentUse::AppleApps => "apple-app-site-association",
        AttachmentUse::AndroidApps => "assetlinks.json",
    };
    let rule = "must be the body itself and no form: `curl --data-binary @FILE`, without -F";
    Err(BadRequest::Rule(Invalid::new(field, rule)))
}

/// Returns the response with a file.
pub(super) fn file(file: &Attachment) -> Body {
    let Attachment { format, bytes } = file;
    let mut bytes = bytes.to_vec();
    if *format == AttachmentFormat::Json {
        // Every JSON of this API ends in a newline.
        if !bytes.ends_with(b"\n") {
            bytes.push(b'\n');
        }
        return Body { status: StatusCode::OK, kind: JSON, bytes };
    }
    Body { status: StatusCode::OK, kind: format.media_type(), bytes }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::query::Query;

    /// A form is named as one: "must be a PNG or an SVG" would send its reader to the picture.
    #[test]
    fn a_form_is_no_file() {
        let form = b"--x\r\nContent-Disposition: form-data; name=\"file\"; filename=\"logo.svg\"\r\n\r\n<svg/>\r\n--x--\r\n";
        for used in [AttachmentUse::Logo, AttachmentUse::AppleApps, AttachmentUse::AndroidApps] {
            let parts = |body| RequestParts { id: "", query: Query::parse(None), body };
            let why = match no_form(&parts(form), used) {
                Err(BadRequest::Rule(rule)) => rule.to_string(),
                other => panic!("{other:?}"),
            };
            assert!(why.ends_with("without -F"), "{why}");
            assert_eq!(no_form(&parts(b"<!-- Content-Disposition: form-data -->"), used), Ok(()));
        }
    }
}
