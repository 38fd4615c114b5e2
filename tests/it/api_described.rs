//! The description of the API, compared with what the shipped program serves, with the code and with the book.

use std::collections::BTreeMap;
use std::process::Command;

use serde_json::Value;

use crate::config_files::repository;
use crate::console::{OPERATOR, READER, Scene};
use crate::peer::browser::WebRequest;
use crate::peer::daemon::PROGRAM;

/// The description, as the program prints it.
pub(crate) fn description() -> Value {
    let output = Command::new(PROGRAM).arg("openapi").output().unwrap();
    assert!(output.status.success());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Each request, as "GET /status", with the role of the token that it takes.
fn requests(description: &Value) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let role = operation["security"][0]["token"][0].as_str().unwrap();
            found.insert(format!("{} {path}", method.to_uppercase()), role.to_owned());
        }
    }
    found
}

#[test]
fn the_book_lists_what_is_described() {
    let page = std::fs::read_to_string(repository().join("docs/api.md")).unwrap();
    let mut listed = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        for request in cells[1].split('`').skip(1).step_by(2) {
            listed.insert(request.to_owned(), cells[2].to_owned());
        }
    }
    assert_eq!(listed, requests(&description()));
}

/// A request that is declared otherwise would be missing from the description.
#[test]
fn nothing_of_the_api_is_served_undescribed() {
    let folder = repository().join("src/admin");
    let mut routes = Vec::new();
    for file in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let Ok(text) = std::fs::read_to_string(&file) else { continue };
        let at = text.match_indices(".route(").chain(text.match_indices(".route_service("));
        routes.extend(
            at.map(|(at, _)| text[at..].lines().next().unwrap().split('"').nth(1).unwrap_or("?").to_owned()),
        );
    }
    routes.sort();
    assert_eq!(routes, ["/health", "/metrics"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_request_needs_the_token_that_the_description_says() {
    let scene = Scene::start().await;
    let described = description();
    let admin = scene.daemon.at("admin");
    let served = WebRequest::new("GET", "/api/v1/openapi.json").bearer(READER).to(admin).await;
    assert_eq!(served.json(), described);
    let requests: Vec<_> = requests(&described).into_iter().collect();
    // No more at a time than may wait with a wrong token, or be answered to one bearer.
    for some in requests.chunks(6) {
        let asked = some.iter().cloned().map(|(request, role)| {
            let (method, path) = request.split_once(' ').unwrap();
            let path =
                format!("/api/v1{}", path.replace("{id}", "0000000000000").replace("{name}", "nothing"));
            let (bare, reader) =
                (WebRequest::new(method, &path), WebRequest::new(method, &path).bearer(READER));
            tokio::spawn(async move {
                let answer = bare.to(admin).await;
                assert_eq!(answer.status, 401, "{request}: {}", answer.body);
                assert!(answer.header("www-authenticate").is_some(), "{request}: {}", answer.head);
                let refused = reader.to(admin).await.status == 403;
                assert_eq!(refused, role == "operator", "{request}");
            })
        });
        for one in asked.collect::<Vec<_>>() {
            one.await.unwrap();
        }
    }
    // Without a token nobody hears what there is, and with one all refusals have one form.
    for (method, path, token, status) in [
        ("GET", "/nothing", None, 401),
        ("PUT", "/status", None, 401),
        ("GET", "/nothing", Some(READER), 404),
        ("PUT", "/status", Some(READER), 405),
        ("GET", "/queue?limit=x", Some(READER), 400),
        ("GET", "/queue?recipent=a%40b.test", Some(READER), 400),
        ("POST", "/queue/act", Some(OPERATOR), 415),
    ] {
        let request = WebRequest::new(method, &format!("/api/v1{path}"));
        let request = match token {
            Some(token) => request.bearer(token),
            None => request,
        };
        let answer = request.to(admin).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.body);
        assert!(answer.json()["error"].is_string(), "{method} {path}: {}", answer.body);
        assert_eq!(answer.header("allow").is_some(), status == 405, "{}", answer.head);
    }
    scene.daemon.stop().await;
}

/// A filter with a misspelt name must not mean all messages.
#[tokio::test(flavor = "multi_thread")]
async fn a_misspelt_filter_is_refused_and_nothing_is_removed() {
    let scene = Scene::start().await;
    for body in [
        serde_json::json!({"action": "remove"}),
        serde_json::json!({"action": "remove", "of": {"recipent": "eve@bank.test"}}),
        serde_json::json!({"action": "remove", "of": {}, "recipient": "eve@bank.test"}),
        serde_json::json!({"action": "remove", "of": null}),
        serde_json::json!({"action": "remove", "of": {"recipient": ""}}),
        serde_json::json!({"action": "remove", "of": {"reason": ""}}),
    ] {
        let request = WebRequest::new("POST", "/api/v1/queue/act").bearer(OPERATOR).json(Some(body.clone()));
        let answer = request.to(scene.daemon.at("admin")).await;
        assert_eq!(answer.status, 400, "{body}: {}", answer.body);
        assert!(answer.json()["error"].is_string(), "{}", answer.body);
    }
    assert_eq!(scene.daemon.queue().await.len(), 1);
    scene.daemon.stop().await;
}
