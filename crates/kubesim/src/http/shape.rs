//! Stored objects in the form and version that a request asks for.

use bytes::Bytes;
use serde_json::{Value, json};

use super::accept::{self, Shape};
use super::request::Request;
use super::table::{self, Columns};
use crate::cluster::Cluster;
use crate::error::ApiError;
use crate::resource::GroupResource;
use crate::store::Stored;

/// How to show the objects of one request.
pub struct Show {
    cluster: Cluster,
    id: GroupResource,
    kind: String,
    api_version: String,
    as_stored: bool,
    shape: Shape,
    columns: Columns,
    include: Include,
}

/// What a table's rows carry beside their cells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Include {
    None,
    Metadata,
    Object,
}

impl Show {
    /// What a request asks for.
    ///
    /// # Errors
    /// 406 for a form that there is not, 400 for an unknown `includeObject`.
    pub fn of(request: &Request<'_>) -> Result<Self, ApiError> {
        let shape = accept::shape(&request.parts.headers)?;
        let include = match request.query.text("includeObject").unwrap_or_default() {
            "" | "Metadata" => Include::Metadata,
            "None" => Include::None,
            "Object" => Include::Object,
            other => {
                return Err(ApiError::bad_request(format!(
                    "unrecognized includeObject value: \"{other}\""
                )));
            }
        };
        let columns = match shape {
            Shape::Table => table::columns(request),
            _ => Columns::default(),
        };
        Ok(Self {
            cluster: request.cluster.clone(),
            id: request.resource.id.clone(),
            kind: request.resource.kind.to_string(),
            api_version: request.api_version.clone(),
            as_stored: request.is_storage_version(),
            shape,
            columns,
            include,
        })
    }

    /// One object as JSON; `first` says whether a table tells its columns.
    ///
    /// # Errors
    /// When it cannot be converted.
    pub fn one(&self, stored: &Stored, first: bool) -> Result<Bytes, ApiError> {
        let value = match self.shape {
            Shape::Object => return self.json(stored),
            Shape::Metadata => metadata(stored),
            Shape::Table => {
                let revision = json!({"resourceVersion": stored.revision.to_string()});
                self.table(vec![self.row(stored)?], &revision, first)
            }
        };
        Ok(serialised(&value))
    }

    /// A list of objects as JSON, with the list's metadata.
    ///
    /// # Errors
    /// When one cannot be converted.
    pub fn list<'a>(
        &self,
        objects: impl Iterator<Item = &'a Stored>,
        list: &Value,
    ) -> Result<Bytes, ApiError> {
        match self.shape {
            Shape::Table => {
                let rows: Result<Vec<Value>, ApiError> =
                    objects.map(|stored| self.row(stored)).collect();
                Ok(serialised(&self.table(rows?, list, true)))
            }
            Shape::Metadata => {
                let items: Vec<Value> = objects.map(metadata).collect();
                Ok(serialised(&json!({
                    "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1",
                    "metadata": list, "items": items,
                })))
            }
            Shape::Object => {
                let head = json!({
                    "kind": format!("{}List", self.kind), "apiVersion": self.api_version, "metadata": list,
                });
                let head = serialised(&head);
                let items = objects.map(|stored| self.json(stored));
                let items = items.collect::<Result<Vec<Bytes>, ApiError>>()?;
                let length = head.len() + items.iter().map(|item| item.len() + 1).sum::<usize>();
                let mut text = Vec::with_capacity(length + 16);
                text.extend_from_slice(&head[..head.len() - 1]);
                text.extend_from_slice(b",\"items\":[");
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        text.push(b',');
                    }
                    text.extend_from_slice(item);
                }
                text.extend_from_slice(b"]}");
                Ok(Bytes::from(text))
            }
        }
    }

    /// A bookmark's object.
    pub fn bookmark(&self, revision: u64, initial_events_end: bool, first: bool) -> Value {
        let mut metadata = json!({
            "resourceVersion": revision.to_string(),
        });
        if initial_events_end {
            metadata["annotations"] = json!({"k8s.io/initial-events-end": "true"});
        }
        match self.shape {
            Shape::Object => {
                json!({"kind": self.kind, "apiVersion": self.api_version, "metadata": metadata})
            }
            Shape::Metadata => json!({
                "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
            }),
            Shape::Table => {
                let row = json!({"cells": [], "object": {
                    "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
                }});
                let revision = json!({"resourceVersion": revision.to_string()});
                self.table(vec![row], &revision, first)
            }
        }
    }

    fn json(&self, stored: &Stored) -> Result<Bytes, ApiError> {
        if self.as_stored {
            return Ok(stored.json());
        }
        let served = self.cluster.api().catalogue().generation();
        let version = (self.api_version.clone(), served);
        stored.json_in(&version, || Ok(serialised(&self.converted(stored)?)))
    }

    fn converted(&self, stored: &Stored) -> Result<Value, ApiError> {
        let catalogue = self.cluster.api().catalogue();
        catalogue.convert(&self.id, stored.whole(), &self.api_version)
    }

    fn table(&self, rows: Vec<Value>, metadata: &Value, headers: bool) -> Value {
        let columns = if headers {
            self.columns.definitions()
        } else {
            json!([])
        };
        json!({
            "kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata,
            "columnDefinitions": columns, "rows": rows,
        })
    }

    fn row(&self, stored: &Stored) -> Result<Value, ApiError> {
        let mut row = if self.as_stored || self.columns.are_of_storage() {
            self.columns.row(&stored.value, self.cluster.now())
        } else {
            self.columns
                .row(&self.converted(stored)?, self.cluster.now())
        };
        row["object"] = match self.include {
            Include::None => return Ok(row),
            Include::Metadata => metadata(stored),
            Include::Object => self.converted(stored)?,
        };
        Ok(row)
    }
}

/// Only an object's metadata.
fn metadata(stored: &Stored) -> Value {
    let mut metadata = stored.value["metadata"].clone();
    if !stored.managed.is_null() {
        metadata["managedFields"] = (*stored.managed).clone();
    }
    json!({"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": metadata})
}

fn serialised(value: &Value) -> Bytes {
    // A Value always serialises: its keys are strings.
    Bytes::from(serde_json::to_vec(value).unwrap_or_default())
}
