//! Files of domains and workspaces: the body of a request is the file itself, whatever its `Content-Type` is.

use hyper::StatusCode;

use super::app_links;
use crate::http::api::dialect::{
    BadRequest, Body, Command, FileAct, FileOf, JSON, QrLogo, RequestParts, ScopedCommand, read,
};
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
